//! The examples in docs/SCALING.md: real Prometheus servers take them, and they do what is said.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use da_testkit::api::Series;
use da_testkit::prometheus::Prometheus;

use crate::files::text;

const PATIENCE: Duration = Duration::from_secs(120);

/// A place's own rule, beside the name of a target where nobody is.
const PLACE: &str = "
scrape_configs:
  - job_name: digital-actors
    scrape_interval: 200ms
    scrape_timeout: 200ms
    static_configs: [{targets: ['127.0.0.1:1']}]
rule_files: [rules.yml]
";
const RULES: &str = "
groups:
  - name: some
    interval: 200ms
    rules: [{record: 'job:digital_actors_turns:rate5m', expr: 'sum by (job) (up) + 7'}]
";

/// The example of that name, as it stands in the document.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/SCALING.md");
    let text = fs::read_to_string(path).expect("the document");
    let (_, rest) = text.split_once(&format!("```yaml\n# {name}:")).expect(name);
    let (example, _) = rest.split_once("```").expect("an end");
    format!("#{example}")
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path
}

/// What `find` finds, once it does.
fn wait_for<T>(what: &str, mut find: impl FnMut() -> Result<Option<T>>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = find().expect("an answer") {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} is not there");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn first(at: &Prometheus, promql: &str) -> Series {
    wait_for(promql, || Ok(at.query(promql)?.pop()))
}

#[test]
fn promtool_takes_the_examples() {
    if !crate::needs::prometheus_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["remote-write.yml", "federation.yml", "shard.yml"] {
        let file = write(folder.path(), name, &example(name));
        let arguments = ["check", "config", "--lint=all", "--lint-fatal"];
        let output = Command::new("promtool").args(arguments).arg(file).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn what_a_place_records_arrives_in_the_store_and_above() {
    if !crate::needs::prometheus_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "rules.yml", RULES);
    let empty = write(folder.path(), "store.yml", "{}");
    let store = Prometheus::start_store(&empty).unwrap();
    let to = format!("http://{}/api/v1/write", store.api().address());
    let writing = example("remote-write.yml").replace("https://store.example/api/v1/write", &to);
    let place = write(folder.path(), "place.yml", &format!("{writing}{PLACE}"));
    let place = Prometheus::start(&place).unwrap();
    let above = example("federation.yml")
        .replace("prometheus.eu-1.example:9090", &place.api().address().to_string())
        .replace(", \"prometheus.us-1.example:9090\"", "")
        .replace("scrape_interval: 30s", "scrape_interval: 500ms")
        .replace("scrape_timeout: 20s", "scrape_timeout: 500ms");
    let above = Prometheus::start(&write(folder.path(), "above.yml", &above)).unwrap();

    for there in [&store, &above] {
        let recorded = first(there, "job:digital_actors_turns:rate5m");
        assert_eq!(recorded.values[0].value, 7.0);
        assert_eq!(recorded.metric["job"], "digital-actors", "{recorded:?}");
        assert_eq!(recorded.metric["cluster"], "eu-1", "{recorded:?}");
        let up = first(there, "up{job=\"digital-actors\"}");
        assert_eq!((up.values[0].value, up.metric["instance"].as_str()), (0.0, "127.0.0.1:1"));
        // Its neighbours in the same scrape stay where they are.
        let others = there.query("scrape_duration_seconds{job=\"digital-actors\"}").unwrap();
        assert_eq!(others, []);
    }
    first(&place, "scrape_duration_seconds{job=\"digital-actors\"}");
}

#[test]
fn shards_share_the_targets() {
    if !crate::needs::prometheus_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let targets_of = |shard: &str| -> BTreeSet<String> {
        let text = example("shard.yml")
            .replace("regex: \"0\"", &format!("regex: \"{shard}\""))
            // Nobody is asked for a worker's address.
            .replace("worker-", "127.0.0.");
        let file = write(folder.path(), &format!("shard-{shard}.yml"), &text);
        let prometheus = Prometheus::start(&file).unwrap();
        let listed = wait_for("a target", || {
            let targets = prometheus.targets()?;
            Ok((!targets.is_empty()).then_some(targets))
        });
        listed.into_iter().map(|target| target.labels["instance"].clone()).collect()
    };
    let collector = text("deploy/config/collector.toml").parse::<toml::Table>().unwrap();
    let (_, port) = collector["listen"].as_str().unwrap().rsplit_once(':').unwrap();
    let (one, other) = (targets_of("0"), targets_of("1"));
    let all: BTreeSet<_> = (1..=4).map(|number| format!("127.0.0.{number}:{port}")).collect();
    assert_eq!(&one | &other, all);
    assert!((&one & &other).is_empty(), "{one:?} and {other:?}");
}
