//! The tests' own Prometheus: it is a real one, and it is asked as itself.

use std::fs;
use std::time::{Duration, Instant};

use da_testkit::prometheus::Prometheus;

/// One target where nobody listens, and a rule of each kind about it.
const CONFIG: &str = "
global: {scrape_interval: 200ms, evaluation_interval: 200ms}
rule_files: [rules.yml]
scrape_configs:
  - job_name: nobody
    static_configs: [{targets: ['127.0.0.1:1']}]
";
const RULES: &str = "
groups:
  - name: some
    rules:
      - {record: 'job:up:sum', expr: sum by (job) (up)}
      - {alert: NobodyThere, expr: up == 0, annotations: {summary: 'nobody at {{ $labels.instance }}'}}
";

#[test]
fn a_prometheus_scrapes_evaluates_and_answers() {
    if !crate::needs::prometheus_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    fs::write(&config, CONFIG).unwrap();
    fs::write(folder.path().join("rules.yml"), RULES).unwrap();
    let prometheus = Prometheus::start(&config).unwrap();

    let begun = Instant::now();
    let alert = loop {
        if let Some(alert) = prometheus.alerts().unwrap().pop() {
            break alert;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", prometheus.said());
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(alert.state, "firing");
    assert_eq!(alert.labels["alertname"], "NobodyThere");
    assert_eq!(alert.annotations["summary"], "nobody at 127.0.0.1:1");

    let targets = prometheus.targets().unwrap();
    assert_eq!((targets.len(), targets[0].health.as_str()), (1, "down"));
    let rules = prometheus.rules().unwrap().remove(0).rules;
    let kinds: Vec<_> =
        rules.iter().map(|rule| (rule.kind.as_str(), rule.health.as_str())).collect();
    assert_eq!(kinds, [("recording", "ok"), ("alerting", "ok")]);

    let up = prometheus.query("job:up:sum").unwrap().remove(0);
    assert_eq!((up.metric["job"].as_str(), up.values[0].value), ("nobody", 0.0));
    assert_eq!(prometheus.query("1 + 1").unwrap()[0].values[0].value, 2.0);
    let back = Duration::from_secs(2);
    let range = prometheus.query_range("vector(3)", back, Duration::from_secs(1)).unwrap();
    assert_eq!(range[0].values.len(), 3);
    let refused = prometheus.query("sum(").unwrap_err().to_string();
    assert!(refused.contains("parse error"), "{refused}");
}

#[test]
fn a_refused_configuration_is_quoted() {
    if !crate::needs::prometheus_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    fs::write(&config, "scrape_configs: [{job_names: x}]").unwrap();
    let refused = Prometheus::start(&config).err().unwrap().to_string();
    assert!(refused.contains("job_names"), "{refused}");
}
