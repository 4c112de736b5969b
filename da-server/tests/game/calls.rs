//! `/api/calls`: what is remembered of calls to providers, for programs.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use da_server::calls::{Call, CallKind};
use da_standin::{Fault, Plan};
use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use serde_json::Value;

use crate::sample_calls::{foreign, remarkable, usual};
use crate::server::{PATIENCE, Server};

async fn with_calls() -> Server {
    let server = Server::start().await;
    remarkable().into_iter().for_each(|call| server.calls.add(call));
    server
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    let response = server.request(path).send().await.expect("answer");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

async fn ids(server: &Server, query: &str) -> Vec<u64> {
    let (status, body) = get(server, &format!("/api/calls{query}")).await;
    assert_eq!(status, 200, "{query}: {body}");
    let calls = body["calls"].as_array().expect("calls");
    calls.iter().map(|call| call["id"].as_u64().expect("id")).collect()
}

#[tokio::test]
async fn the_latest_and_the_slowest_are_given_and_filters_narrow_them() {
    let server = with_calls().await;
    assert_eq!(ids(&server, "").await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(ids(&server, "?order=slowest").await, [1, 2, 3, 4, 6, 5]);
    assert_eq!(ids(&server, "?order=slowest&limit=2").await, [1, 2]);
    assert_eq!(ids(&server, "?kind=tts").await, [5, 3]);
    assert_eq!(ids(&server, "?provider=anthropic&limit=1").await, [6]);
    assert_eq!(ids(&server, "?outcome=failed").await, [6, 5]);
    assert_eq!(ids(&server, "?outcome=cancelled").await, [6]);
    assert_eq!(ids(&server, "?outcome=success&kind=tts").await, [3]);
    assert_eq!(ids(&server, "?provider=nobody").await, [0; 0]);
    let (_, body) = get(&server, "/api/calls?provider=nobody").await;
    assert_eq!(body["providers"], serde_json::json!(["anthropic", "elevenlabs"]));
}

#[tokio::test]
async fn calls_of_other_processes_are_told_by_their_names() {
    let server = with_calls().await;
    server.calls.add(foreign(7, "python3"));
    server.calls.add(foreign(8, "node"));
    assert_eq!(ids(&server, "?process=python3").await, [7]);
    assert_eq!(ids(&server, "?of=own").await, [6, 5, 4, 3, 2, 1], "the server's own");
    assert_eq!(ids(&server, "?of=others").await, [8, 7]);
    assert_eq!(ids(&server, "?workload=node.service").await, [8]);
    assert_eq!(ids(&server, "?outcome=ok").await, [8, 7]);
    assert_eq!(ids(&server, "?outcome=failed").await, [6, 5]);
    assert_eq!(ids(&server, "?min_ms=955&process=node").await, [8]);
    assert_eq!(ids(&server, "?min_ms=956&process=node").await, [0; 0]);
    let (_, body) = get(&server, "/api/calls?limit=1").await;
    assert_eq!(body["processes"], serde_json::json!(["node", "python3"]));
    assert_eq!(body["workloads"], serde_json::json!(["node.service", "python3.service"]));
    let call: Call = serde_json::from_value(body["calls"][0].clone()).expect("a call");
    assert_eq!(call, *foreign(8, "node"));
}

#[tokio::test]
async fn a_call_is_given_whole_until_it_is_forgotten() {
    let server = with_calls().await;
    let (status, body) = get(&server, "/api/calls/2").await;
    assert_eq!(status, 200);
    let call: Call = serde_json::from_value(body).expect("a call");
    assert_eq!(call, *remarkable()[1]);
    for unknown in ["/api/calls/7", "/api/calls/-1", "/api/calls/first"] {
        let (status, body) = get(&server, unknown).await;
        assert_eq!((status, &body["error"]["code"]), (404, &"call_not_found".into()), "{unknown}");
    }
}

#[tokio::test]
async fn queries_that_mean_nothing_are_refused() {
    let server = Server::start().await;
    for query in [
        "?limit=0",
        "?min_ms=-1",
        "?limit=501",
        "?limit=x",
        "?kind=x",
        "?outcome=fine",
        "?order=x",
        "?page=2",
    ] {
        let (status, body) = get(&server, &format!("/api/calls{query}")).await;
        assert_eq!((status, &body["error"]["code"]), (400, &"invalid_query".into()), "{query}");
        let response = server.request(&format!("/api/calls/live{query}")).send().await;
        let limits_nothing = query.starts_with("?limit=") && query != "?limit=x";
        let expected = if limits_nothing { 200 } else { 400 };
        assert_eq!(response.expect("answer").status(), expected, "{query}");
    }
    assert_eq!(ids(&server, "?limit=500").await, [0; 0]);
}

#[tokio::test]
async fn calls_ask_for_the_token_that_metrics_ask_for() {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), "open-sesame\n").expect("written");
    let path = file.path().to_owned();
    let server = Server::with(|config| config.metrics.bearer_token_file = Some(path)).await;
    server.calls.add(usual(1, CallKind::Llm, 100.0));
    for path in ["/api/calls", "/api/calls/1", "/api/calls/live", "/api/calls/no-call"] {
        let refused = server.request(path).send().await.expect("answer");
        assert_eq!(refused.status(), 401, "{path}");
        assert_eq!(refused.headers()["www-authenticate"], "Bearer", "{path}");
        let text = refused.text().await.expect("text");
        assert!(!text.contains("anthropic"), "{text}");
        let wrong = server.request(path).bearer_auth("open-sesam").send().await.expect("answer");
        assert_eq!(wrong.status(), 401, "{path}");
        let right = server.request(path).bearer_auth("open-sesame").send().await.expect("answer");
        assert_ne!(right.status(), 401, "{path}");
    }
    let page = server.request("/calls").send().await.expect("answer");
    assert_eq!(page.status(), 200, "a browser can't send a token before there is a page");
}

#[tokio::test]
async fn calls_are_where_metrics_are() {
    let (server, at) = Server::with_metrics_apart(|_| {}).await;
    let http = da_server::provider::http_client(&Default::default()).expect("client");
    for path in ["/api/calls", "/calls", "/calls/1", "/calls/list.js"] {
        let there = http.get(format!("http://{at}{path}")).send().await.expect("answer");
        assert_eq!(there.status(), 200, "{path}");
        assert_eq!(server.request(path).send().await.expect("answer").status(), 404, "{path}");
    }
}

#[tokio::test]
async fn what_is_said_and_what_opens_doors_is_in_no_output() {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), "token-in-confidence").expect("written");
    let path = file.path().to_owned();
    let server = Server::with(|config| config.metrics.bearer_token_file = Some(path)).await;
    let ask = async |path: &str| {
        let request = server.request(path).bearer_auth("token-in-confidence");
        request.send().await.expect("answer")
    };
    let mut live = ask("/api/calls/live").await.bytes_stream();
    server.llm_plan(Plan { text: Some("Answered-in-confidence.".into()), ..Plan::default() });
    let mut player = server.player_in("quiet").await;
    player.say("Asked-in-confidence").await;
    assert_eq!(player.hear_turn().await.text(), "Answered-in-confidence.");
    server.llm_plan(Plan { fault: Some(Fault::Overloaded), ..Plan::default() });
    player.say("Asked-in-confidence again").await;
    player.hear_turn().await;

    // A model that answered and a voice, and a model that did not.
    let mut outputs = String::new();
    while outputs.matches("event: call").count() < 3 {
        let piece = tokio::time::timeout(PATIENCE, live.next()).await.expect("more in time");
        outputs += &String::from_utf8_lossy(&piece.expect("more").expect("a piece"));
    }
    for path in ["/api/calls?order=slowest", "/api/calls", "/api/calls/1", "/calls", "/calls/1"] {
        let response = ask(path).await;
        assert_eq!(response.status(), 200, "{path}");
        outputs += &response.text().await.expect("text");
    }
    assert!(outputs.contains("\"body_bytes\"") && outputs.contains("overloaded"));
    for secret in ["in-confidence", "nobody-may-see", "voice-of-the-file", &player.token, "Lis"] {
        assert!(!outputs.contains(secret), "{secret}");
    }
}

/// Events of `/api/calls/live`: their names and data.
async fn follow(server: &Server, query: &str) -> BoxStream<'static, (String, Value)> {
    let response = server.request(&format!("/api/calls/live{query}")).send().await.expect("answer");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let events = response.bytes_stream().eventsource();
    Box::pin(events.map(|event| {
        let event = event.expect("event");
        (event.event, serde_json::from_str(&event.data).expect("JSON"))
    }))
}

#[tokio::test]
async fn who_follows_hears_of_the_calls_that_were_asked_for_until_the_server_ends() {
    // They would be waited for as long as that.
    let server = Server::with(|config| config.grace_seconds = 600).await;
    let mut all = follow(&server, "").await;
    let mut failed = follow(&server, "?outcome=failed&kind=tts").await;
    remarkable().into_iter().for_each(|call| server.calls.add(call));
    for expected in remarkable() {
        let (event, data) = all.next().await.expect("event");
        assert_eq!(event, "call");
        assert_eq!(serde_json::from_value::<Call>(data).expect("a call"), *expected);
    }
    let (_, data) = failed.next().await.expect("event");
    assert_eq!(data["id"], 5);
    let stopping = tokio::time::timeout(PATIENCE, server.stop());
    stopping.await.expect("nobody waits for who follows").expect("in order");
    assert!(all.next().await.is_none() && failed.next().await.is_none());
}

#[tokio::test]
async fn seats_are_bounded_and_given_back() {
    let server = Server::start().await;
    let live = async || server.request("/api/calls/live").send().await.expect("answer");
    let mut seated = Vec::new();
    let refused = loop {
        let response = live().await;
        if response.status() != 200 {
            break response;
        }
        seated.push(response);
        assert!(seated.len() <= 100, "there is no bound");
    };
    assert_eq!(refused.status(), 503);
    let body: Value = refused.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "too_many_followers");
    assert_eq!(ids(&server, "").await, [0; 0], "others are not kept out");
    seated.pop();
    let again = async {
        while live().await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a seat became free");
}

/// A follower that reads nothing while so many calls end that no buffer between holds them.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_slow_is_told_how_many_it_missed_and_delays_nobody() {
    const CALLS: u64 = 8_000;
    // It is not let go meanwhile, however busy the machine is.
    let server = Server::with(|config| config.websocket.write_timeout_seconds = 600).await;
    let mut slow = TcpStream::connect(server.address).expect("connected");
    // Or the kernels of both sides take megabytes before anybody has to wait.
    set_socket_recv_buffer_size(&slow, 65_536).expect("a small buffer");
    slow.set_read_timeout(Some(PATIENCE)).expect("set");
    std::io::Write::write_all(
        &mut slow,
        b"GET /api/calls/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .expect("asked");
    let mut head = [0; 12];
    slow.read_exact(&mut head).expect("answer");
    assert_eq!(&head, b"HTTP/1.1 200");

    let mut quick = follow(&server, "").await;
    let call = usual(1, CallKind::Llm, 100.0);
    for _ in 0..CALLS / 100 {
        (0..100).for_each(|_| server.calls.add(Arc::clone(&call)));
        for _ in 0..100 {
            assert_eq!(quick.next().await.expect("event").0, "call");
        }
    }
    let (heard, missed) = account(slow, CALLS);
    assert!(missed > 0, "{heard} heard");
    assert_eq!(heard + missed, CALLS);
}

/// How many calls came by this connection, and how many it was told that it missed.
fn account(connection: TcpStream, until: u64) -> (u64, u64) {
    let mut lines = BufReader::new(connection).lines();
    let (mut heard, mut missed) = (0, 0);
    let deadline = Instant::now() + PATIENCE;
    while heard + missed < until {
        assert!(Instant::now() < deadline, "{heard} heard and {missed} missed of {until}");
        let line = lines.next().expect("the server gave up").expect("more");
        heard += u64::from(line == "event: call");
        if let Some(rest) = line.strip_prefix("data: {\"calls\":") {
            missed += rest.trim_end_matches('}').parse::<u64>().expect("a number");
        }
    }
    (heard, missed)
}
