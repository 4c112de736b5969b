//! The three formats of `/metrics`: who gets which, and that real parsers read the same from each.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use da_testkit::programs::{has_module, skip};
use da_testkit::prometheus::Prometheus;
use da_testkit::scrape::Scrape;
use flate2::read::GzDecoder;

use crate::relay::Relay;
use crate::server::{PATIENCE, Server};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                        encoding=delimited";

/// It has no sum of what may be negative, and no count without a sum.
const NOT_IN_OPENMETRICS: &[&str] =
    &["tts_underrun_margin_seconds_sum", "tts_underrun_margin_seconds_count"];

/// The Python that `cargo xtask test` puts libraries into.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/test-python/bin/python");
const PARSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/game/openmetrics.py");

/// Content type and body; unpacked, if it came compressed.
async fn scrape(server: &Server, accept: &str, coding: &str) -> (String, Vec<u8>) {
    let request = server.request("/metrics").header("accept", accept);
    let response = request.header("accept-encoding", coding).send().await.expect("answer");
    assert_eq!(response.status(), 200);
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().expect("text").to_owned())
    };
    assert_eq!(header("vary").as_deref(), Some("accept, accept-encoding"));
    let (kind, packed) = (header("content-type").expect("a type"), header("content-encoding"));
    assert_eq!(packed.as_deref(), coding.starts_with("gzip").then_some("gzip"));
    let body = response.bytes().await.expect("body");
    if packed.is_none() {
        return (kind, body.to_vec());
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(&body[..]).read_to_end(&mut unpacked).expect("gzip");
    assert!(body.len() < unpacked.len() / 3, "{} of {}", body.len(), unpacked.len());
    (kind, unpacked)
}

/// A server that somebody has played on, so that there is something in its families.
async fn played() -> Server {
    let server = Server::start().await;
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    player.hear_turn().await;
    drop(player);
    // The player's end and the calls' are counted a moment later, and bring series of their own.
    let counted = |scrape: &Scrape| {
        scrape.sum("websocket_closes_total") == 1.0 && scrape.sum("call_join_total") == 2.0
    };
    server.scrape_until(counted).await;
    server
}

#[tokio::test]
async fn each_format_is_given_to_those_who_ask_for_it_compressed_or_not() {
    let server = played().await;
    for (accept, kind) in [
        ("*/*", TEXT),
        ("application/json", TEXT),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.5", TEXT),
        (PROTOBUF, PROTOBUF),
    ] {
        for coding in ["identity", "gzip;q=0.9, identity"] {
            let (given, body) = scrape(&server, accept, coding).await;
            assert_eq!(given, kind, "{accept}");
            assert_eq!(body.ends_with(b"# EOF\n"), kind == OPENMETRICS, "{accept}");
            assert_eq!(body.starts_with(b"# "), kind != PROTOBUF, "{accept}");
        }
    }
}

/// Labels, `le` as a number: the formats spell it differently.
type Series = (String, BTreeMap<String, String>);

/// A series by all of its labels, its name among them, without those of whoever scraped it.
fn series(mut labels: BTreeMap<String, String>) -> Series {
    labels.retain(|label, _| !["job", "instance"].contains(&label.as_str()));
    if let Some(edge) = labels.get_mut("le") {
        *edge = edge.parse::<f64>().expect("a number").to_string();
    }
    (labels.remove("__name__").expect("a name"), labels)
}

/// Whether it is the same at every scrape of a server that nobody plays on.
fn stands_still((name, labels): &Series) -> bool {
    let looks_again = labels.get("operation").is_some_and(|operation| operation == "ping");
    // A look may be under way at the moment of one scrape.
    let may_be_a_look = name.starts_with("digital_actors_db_queries_");
    let moves = name.contains("_event_loop_") || looks_again || may_be_a_look;
    name.starts_with("digital_actors_") && !moves
}

/// What Python's parser, which is stricter than any scraper, reads from an exposition.
fn parsed_by_python(exposition: &[u8]) -> BTreeMap<Series, f64> {
    let mut python = Command::new(PYTHON)
        .arg(PARSER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python");
    python.stdin.take().expect("piped").write_all(exposition).expect("written");
    let output = python.wait_with_output().expect("ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    let sample = |line: &str| {
        let (labels, value) = serde_json::from_str(line).expect("labels and a value");
        (series(labels), value)
    };
    lines.lines().map(sample).filter(|(series, _)| stands_still(series)).collect()
}

#[tokio::test]
async fn a_strict_parser_of_openmetrics_reads_what_the_text_says() {
    if !has_module(Path::new(PYTHON), "prometheus_client") {
        return;
    }
    let server = played().await;
    let (_, exposition) = scrape(&server, OPENMETRICS, "identity").await;
    let read = tokio::task::spawn_blocking(move || parsed_by_python(&exposition)).await;
    let read = read.expect("no panic");
    let text = server.scrape().await;
    let moves = |name: &str| {
        ["event_loop_", "operation=\"ping\"", "db_queries_"].iter().any(|part| name.contains(part))
    };
    let said: Vec<_> = text.names().filter(|name| !moves(name)).collect();
    let own = said.iter().filter(|name| !name.starts_with("process_"));
    assert_eq!(own.filter(|name| !NOT_IN_OPENMETRICS.contains(name)).count(), read.len());
    for ((name, labels), value) in &read {
        let name = name.strip_prefix("digital_actors_").expect("ours");
        let spelled = said.iter().find(|series| {
            let (family, rest) = series.split_once('{').unwrap_or((series, ""));
            let mut pairs = rest.trim_end_matches('}').split_terminator(',');
            family == name
                && pairs.clone().count() == labels.len()
                && pairs.all(|pair| {
                    let (label, value) = pair.split_once('=').expect("a pair");
                    let value = value.trim_matches('"');
                    let expected = labels.get(label).map(String::as_str);
                    expected == Some(value) || (value == "+Inf" && expected == Some("inf"))
                })
        });
        let spelled = spelled.unwrap_or_else(|| panic!("no {name} {labels:?} in the text"));
        assert_eq!(text.get(spelled), *value, "{spelled}");
    }
}

const JOBS: &[(&str, Option<&str>)] = &[
    ("text", Some(TEXT)),
    ("openmetrics", Some(OPENMETRICS)),
    ("protobuf", Some(PROTOBUF)),
    ("as_it_asks", None),
];

fn configuration(relay: SocketAddr) -> String {
    let job = |(job, _): &(&str, _)| {
        let target = format!("static_configs: [{{targets: ['{relay}']}}]");
        format!("- job_name: {job}\n  metrics_path: /{job}\n  {target}\n")
    };
    let jobs: String = JOBS.iter().map(job).collect();
    format!("global: {{scrape_interval: 1s}}\nscrape_configs:\n{jobs}")
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_same_from_every_format() {
    if !Prometheus::is_installed() {
        return skip("prometheus is not installed: `cargo xtask setup` does it");
    }
    let server = played().await;
    let (relay, address) = Relay::start(server.address, JOBS).await;
    let file = server.folder.path().join("prometheus.yml");
    std::fs::write(&file, configuration(address)).expect("written");
    let prometheus = Prometheus::start(&file).expect("starts");
    let query = |promql: &str| prometheus.query(promql).expect("an answer");
    let deadline = Instant::now() + PATIENCE;
    while query("up == 1").len() < JOBS.len() {
        assert!(Instant::now() < deadline, "{:?}", prometheus.targets());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (job, kind) in JOBS {
        assert!(relay.gave(job, kind.unwrap_or(OPENMETRICS)), "{job}");
    }

    let [text, openmetrics, protobuf, as_it_asks] =
        ["text", "openmetrics", "protobuf", "as_it_asks"].map(|job| {
            let all = query(&format!("{{job=\"{job}\"}}")).into_iter();
            let read: BTreeMap<Series, f64> =
                all.map(|found| (series(found.metric), found.values[0].value)).collect();
            read.into_iter().filter(|(series, _)| stands_still(series)).collect::<BTreeMap<_, _>>()
        });
    assert!(text.len() > 300, "{} series", text.len());
    assert_eq!(protobuf, text);
    let mut rest = text.clone();
    rest.retain(|(name, _), _| {
        NOT_IN_OPENMETRICS.iter().all(|other| name.strip_prefix("digital_actors_") != Some(other))
    });
    assert_eq!(rest.len() + NOT_IN_OPENMETRICS.len(), text.len());
    assert_eq!(openmetrics, rest);
    assert_eq!(as_it_asks, rest);
}
