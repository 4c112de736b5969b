//! What the Prometheus operator makes of a PodMonitor: it writes labels of its own over a target, and
//! what a scraped series has under such a name becomes `exported_…`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use da_testkit::built;
use da_testkit::program::Program;
use da_testkit::prometheus::Prometheus;
use serde_json::Value;

use crate::files::{documents, text};
use crate::rules::families::Families;

/// As `generatePodMonitorConfig` of the operator (pkg/prometheus/promcfg.go) has them, and what every
/// target of Prometheus has.
const OF_THE_OPERATOR: [&str; 6] = ["job", "instance", "namespace", "container", "pod", "endpoint"];
const PATIENCE: Duration = Duration::from_secs(120);

/// What Kubernetes would have found out about the pod.
const POD: &str = "
          __meta_kubernetes_namespace: digital-actors
          __meta_kubernetes_pod_container_name: da-server
          __meta_kubernetes_pod_name: da-server-7d9
          __meta_kubernetes_pod_node_name: node-1";
const NAMES: &str = "
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {source_labels: [__meta_kubernetes_pod_container_name], target_label: container}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}";

#[test]
fn no_label_of_ours_is_one_that_the_operator_writes_over() {
    let families = Families::of(&text("docs/METRICS.md"));
    let ours = families.labels();
    assert!(ours.contains("provider") && ours.contains("phase"), "{ours:?}");
    let lost: Vec<_> = OF_THE_OPERATOR.iter().filter(|name| ours.contains(**name)).collect();
    assert!(lost.is_empty(), "in Kubernetes exported_… is all there is of {lost:?}");
}

/// The scrape configuration that the operator makes of the first endpoint of a PodMonitor, but for how
/// pods are found.
fn scrape_config(monitor: &Value, target: SocketAddr) -> String {
    let name = monitor["metadata"]["name"].as_str().expect("a name");
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let port = endpoint["port"].as_str().expect("a port");
    let mut own = String::new();
    for one in endpoint["relabelings"].as_array().expect("relabelings") {
        let target = one["targetLabel"].as_str().expect("a target");
        let from = match (one["sourceLabels"][0].as_str(), one["replacement"].as_str()) {
            (Some(source), None) => format!("source_labels: [{source}]"),
            (None, Some(replacement)) => format!("replacement: {replacement}"),
            other => panic!("not known here: {other:?}"),
        };
        own += &format!("\n      - {{action: replace, {from}, target_label: {target}}}");
    }
    format!(
        "\n  - job_name: podMonitor/digital-actors/{name}/0
    honor_labels: false
    scrape_interval: 200ms
    scrape_timeout: 200ms
    static_configs:
      - targets: ['{target}']
        labels:{POD}
    relabel_configs:{NAMES}
      - {{target_label: job, replacement: digital-actors/{name}}}
      - {{target_label: endpoint, replacement: {port}}}{own}\n"
    )
}

fn start_server(folder: &Path, mode: &str, watched: SocketAddr) -> (Program, SocketAddr) {
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port");
    let config = folder.join(format!("{mode}.toml"));
    let settings = format!(
        "listen = \"{address}\"\n[llm]\nbase_url = \"http://127.0.0.1:1\"\n[kernel]\nresolve = false\n\
         [[endpoint]]\nname = \"watched\"\nkind = \"llm\"\naddresses = [\"{watched}\"]\n"
    );
    fs::write(&config, settings).expect("written");
    let mut command = Command::new(built::program("da-server").expect("built"));
    command.arg("--config").arg(config).arg(mode).env_clear().current_dir(folder);
    let server = Program::start(command, &folder.join(format!("{mode}.log")));
    let mut server = server.expect("starts");
    // It is bound before the programs are attached.
    let listens = server.wait_for(PATIENCE, |said| said.contains("listening").then_some(()));
    listens.expect("listens");
    (server, address)
}

#[test]
fn scraped_as_the_operator_does_it_no_series_loses_a_label() {
    if !crate::needs::live_is_possible() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let watched = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = watched.local_addr().expect("an address");
    let (_game, game) = start_server(folder.path(), "serve", at);
    let (_collector, collector) = start_server(folder.path(), "collect", at);
    TcpStream::connect(at).and_then(|mut one| one.write_all(b"anything")).expect("sent");
    let monitors = documents("deploy/kubernetes/monitoring/podmonitors.yaml");
    let jobs: String =
        monitors.iter().zip([game, collector]).map(|(one, at)| scrape_config(one, at)).collect();
    let config = folder.path().join("prometheus.yml");
    fs::write(&config, format!("scrape_configs:{jobs}")).expect("written");
    let prometheus = Prometheus::start(&config).expect("starts");

    for job in ["digital-actors", "digital-actors-collector"] {
        let there = format!(
            "digital_actors_socket_connections_total{{job=\"{job}\",endpoint=\"metrics\",provider=\"watched\"}}"
        );
        let begun = Instant::now();
        while prometheus.query(&there).expect("an answer").is_empty() {
            assert!(begun.elapsed() < PATIENCE, "nothing is {there}: {}", prometheus.said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let mut names = BTreeSet::new();
    for series in prometheus.query("{__name__=~\".+\"}").expect("an answer") {
        names.extend(series.metric.into_keys());
    }
    assert!(OF_THE_OPERATOR.iter().all(|name| names.contains(*name)), "{names:?}");
    let lost: Vec<_> = names.iter().filter(|name| name.starts_with("exported_")).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
