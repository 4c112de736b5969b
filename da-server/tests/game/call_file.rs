//! Calls that are kept in a file, and shown again from it when the server has gone.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use da_server::calls::{Call, CallKind};
use da_testkit::server::ServerProgram;
use serde_json::Value;

use crate::sample_calls::{foreign, remarkable, usual};
use crate::server::Server;

/// What `da-server calls` says of a file, and whether it is content.
fn shown(file: &Path, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_da-server"));
    command.env_clear().args(["calls", "--from"]).arg(file).args(arguments);
    let Output { status, stdout, stderr } = command.output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.success(), text(stdout), text(stderr))
}

fn calls(file: &Path, arguments: &[&str]) -> Vec<Call> {
    let (succeeded, json, said) = shown(file, &[&["--json"], arguments].concat());
    assert!(succeeded && said.is_empty(), "{said}");
    json.lines().map(|line| serde_json::from_str(line).expect("a call")).collect()
}

fn ids(calls: &[Call]) -> Vec<u64> {
    calls.iter().map(|call| call.id).collect()
}

fn sample(id: u64) -> Call {
    (*usual(id, CallKind::Llm, 1.0)).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_has_kept_is_shown_when_it_has_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("calls.jsonl");
    let kept = file.clone();
    let server = Server::with(|config| config.calls.file = Some(kept)).await;
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    assert_eq!(player.hear_turn().await.status, "success");
    drop(player);
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.calls.latest().len() < 2 {
        assert!(Instant::now() < deadline, "the model's and the voice's");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let highest = server.calls.latest().iter().map(|call| call.id).max().unwrap_or_default();
    for sample in remarkable().into_iter().chain([foreign(7, "python3")]) {
        let call = Call { id: highest + sample.id, ..(*sample).clone() };
        server.calls.add(call.into());
    }
    // Slower than whatever a busy machine makes of the others.
    let hours = |id, hours: u64| Call { duration_ns: hours * 3_600_000_000_000, ..sample(id) };
    server.calls.add(hours(highest + 8, 2).into());
    server.calls.add(hours(highest + 9, 1).into());
    let expected: Vec<Call> =
        server.calls.latest().iter().rev().map(|call| (**call).clone()).collect();
    // What is still to be written is written before it ends.
    server.stop().await.expect("ends in order");

    assert_eq!(calls(&file, &[]), expected, "just what the server knew");
    assert_eq!(ids(&calls(&file, &["--process", "python3"])), [highest + 7]);
    assert_eq!(ids(&calls(&file, &["--slowest", "--limit", "2"])), [highest + 8, highest + 9]);
    let slow_voices = ["--slowest", "--limit", "1", "--kind", "tts", "--outcome", "failed"];
    assert_eq!(ids(&calls(&file, &slow_voices)), [highest + 5], "filtered before it is cut");
    assert_eq!(ids(&calls(&file, &["--own", "--outcome", "failed"])), [highest + 5, highest + 6]);
    // The samples are of an afternoon, and the turn is of now.
    assert_eq!(calls(&file, &["--until", "2025-12-31T00:00:00Z"]).len(), expected.len() - 2);
    assert_eq!(calls(&file, &["--since", "2025-12-31T00:00:00Z"]).len(), 2);
    let (_, lines, _) = shown(&file, &["--kind", "tts", "--until", "2025-12-31T00:00:00Z"]);
    assert!(lines.lines().skip(1).all(|line| line.starts_with("2025-11-22 ")), "{lines}");

    let path = file.to_str().expect("a path");
    let page = ServerProgram::start(&["calls", "--from", path, "--page"], "", |_| {});
    let (status, listed) = page.get("/api/calls?limit=100");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let of_page: Vec<Call> = serde_json::from_value(listed["calls"].clone()).expect("calls");
    assert_eq!((status, of_page), (200, expected.iter().rev().cloned().collect()));
    assert_eq!(listed["processes"], serde_json::json!(["python3"]));
    assert_eq!(page.get(&format!("/api/calls/{}", highest + 7)).0, 200);
    assert_eq!(page.get("/calls").0, 200);
}

#[test]
fn what_is_no_file_of_calls_is_refused_and_broken_lines_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("calls.jsonl");
    let (succeeded, _, said) = shown(&file, &[]);
    assert!(
        !succeeded && said.contains("can't open") && said.contains("calls.jsonl: No such file"),
        "{said}"
    );
    std::fs::write(&file, "hello\n").expect("written");
    let (succeeded, _, said) = shown(&file, &[]);
    assert!(!succeeded && said.contains("no file of calls"), "{said}");
    let call = serde_json::to_string(&*remarkable()[0]).expect("JSON");
    std::fs::write(&file, format!("{call}\n{}", &call[..40])).expect("written");
    let (succeeded, shown_lines, said) = shown(&file, &[]);
    assert!(succeeded && said.contains("1 line of"), "{said}");
    assert_eq!(shown_lines.lines().count(), 2, "the legend and the call");
    let (succeeded, _, said) = shown(&file, &["--outcome", "fine"]);
    assert!(!succeeded && said.contains("no call has the outcome \"fine\""), "{said}");
}
