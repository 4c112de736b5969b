//! The log: complete, in order, and silent about content.

use da_standin::{Event, LogEntry, Options, Standin};
use serde_json::Value;

use crate::support::{SECRET_KEY, SECRET_PROMPT, Scene, connect_any, exchange, wire_request};

fn kind(entry: &LogEntry) -> String {
    serde_json::to_value(&entry.event).unwrap()["event"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_connection_is_told_from_accept_to_close_in_order() {
    let scene = Scene::start(Options::default()).await;
    let mut stream = connect_any(&scene.standin).await;
    let peer = stream.get_ref().0.local_addr().unwrap();
    exchange(&mut stream, &wire_request("connection: close\r\n")).await;
    let log = scene.log_with(|event| matches!(event, Event::Close { .. })).await;
    assert!(log.iter().all(|entry| entry.conn == 1 && entry.peer == peer));
    assert!(log.windows(2).all(|pair| pair[0].t_ns <= pair[1].t_ns));
    let mut kinds: Vec<String> = log.iter().map(kind).collect();
    kinds.dedup();
    let expected = [
        "accept",
        "client_hello",
        "handshake_done",
        "request",
        "response_start",
        "chunk",
        "response_end",
        "close",
    ];
    assert_eq!(kinds, expected);
    let indices: Vec<u64> = log
        .iter()
        .filter_map(|entry| match entry.event {
            Event::Chunk { index, .. } => Some(index),
            _ => None,
        })
        .collect();
    assert!(indices.iter().copied().eq(0..indices.len() as u64) && indices.len() > 5);
}

#[tokio::test]
async fn file_holds_what_memory_holds_and_nothing_secret() {
    let folder = tempfile::tempdir().unwrap();
    let log_file = folder.path().join("log.jsonl");
    let ca_file = folder.path().join("ca.pem");
    let options = Options {
        log_file: Some(log_file.clone()),
        ca_file: Some(ca_file.clone()),
        ..Options::default()
    };
    let scene = Scene::start(options).await;
    scene.anthropic().send().await.unwrap().bytes().await.unwrap();
    scene.openai().send().await.unwrap().bytes().await.unwrap();
    let query = format!("pcm_16000&secret={SECRET_KEY}");
    scene.speech(SECRET_PROMPT, &query).send().await.unwrap().bytes().await.unwrap();
    // A body that isn't JSON is refused without being quoted.
    let broken = scene.anthropic().body(format!("{{\"{SECRET_PROMPT}")).send().await.unwrap();
    assert!(!broken.text().await.unwrap().contains(SECRET_PROMPT));
    let mut memory = scene.log().await;
    let Scene { standin, client } = scene;
    drop(client);
    standin.stop().await;

    let text = std::fs::read_to_string(&log_file).unwrap();
    assert!(!text.contains(SECRET_KEY) && !text.contains(SECRET_PROMPT), "{text}");
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.retain(|line| line["event"] != "close");
    memory.retain(|entry| !matches!(entry.event, Event::Close { .. }));
    lines.sort_by_key(|line| line["t_ns"].as_u64());
    let memory: Vec<Value> =
        memory.iter().map(|entry| serde_json::to_value(entry).unwrap()).collect();
    assert_eq!(lines.len(), memory.len());
    assert_eq!(lines, memory);

    let pem = std::fs::read_to_string(ca_file).unwrap();
    assert!(pem.contains("BEGIN CERTIFICATE") && !pem.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn stop_leaves_a_complete_file() {
    let folder = tempfile::tempdir().unwrap();
    let log_file = folder.path().join("log.jsonl");
    let options = Options { log_file: Some(log_file.clone()), ..Options::default() };
    let standin = Standin::start(options).await.unwrap();
    let _open = connect_any(&standin).await;
    standin.stop().await;
    let text = std::fs::read_to_string(log_file).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["reason"]), (&"close".into(), &"stopped".into()));
}

#[tokio::test]
async fn memory_is_bounded_and_says_what_it_lost() {
    let scene = Scene::start(Options { log_capacity: Some(10), ..Options::default() }).await;
    scene.anthropic().send().await.unwrap().bytes().await.unwrap();
    let log = scene.log().await;
    assert_eq!(log.len(), 10);
    assert!(matches!(log[9].event, Event::ResponseEnd { .. }), "the newest stay");
    assert!(scene.standin.log_dropped() > 0);
}
