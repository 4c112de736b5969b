//! HTTP/1.1 as clients are free to speak it.

use da_standin::{Event, Options, Plan, TlsMode};
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{ANTHROPIC, Scene, anthropic_body, connect_any, exchange, soon, wire_request};

async fn plain() -> Scene {
    let options = Options { tls: TlsMode::Plain, ..Options::default() };
    Scene::start(options).await
}

#[tokio::test]
async fn body_may_come_in_chunks() {
    let scene = Scene::with_plan(Plan::default()).await;
    let parts: Vec<Result<Vec<u8>, std::io::Error>> = anthropic_body(true)
        .to_string()
        .as_bytes()
        .chunks(10)
        .map(|part| Ok(part.to_vec()))
        .collect();
    let body = reqwest::Body::wrap_stream(stream::iter(parts));
    let response = scene.anthropic().body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn body_is_waited_for_and_invited() {
    let scene = plain().await;
    let mut stream = TcpStream::connect(scene.standin.addr()).await.unwrap();
    let request = wire_request("expect: 100-continue\r\n");
    let head = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    stream.write_all(&request[..head]).await.unwrap();
    let mut answer = vec![0; 25];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    let before_ns = da_standin::now_ns();
    stream.write_all(&request[head..]).await.unwrap();
    let mut answer = [0; 15];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let log = scene.log().await;
    let found = log.iter().find_map(|entry| match &entry.event {
        Event::Request { first_read_ns, bytes, .. } => Some((entry.t_ns, *first_read_ns, *bytes)),
        _ => None,
    });
    let (last_read_ns, first_read_ns, bytes) = found.unwrap();
    assert!(first_read_ns < before_ns && before_ns < last_read_ns);
    assert_eq!(bytes, request.len() as u64);
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order() {
    let scene = plain().await;
    let mut stream = TcpStream::connect(scene.standin.addr()).await.unwrap();
    let both = [wire_request(""), wire_request("connection: close\r\n")].concat();
    stream.write_all(&both).await.unwrap();
    let mut answers = String::new();
    soon(stream.read_to_string(&mut answers)).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(answers.matches("message_stop").count(), 4);
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_the_connection_closed() {
    let scene = plain().await;
    for (bytes, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", u32::MAX), 413),
        (format!("GET /{} HTTP/1.1", "x".repeat(70_000)), 431),
    ] {
        let mut stream = TcpStream::connect(scene.standin.addr()).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"));
    }
}

#[tokio::test]
async fn plain_text_on_a_tls_port_is_turned_away() {
    let scene = Scene::with_plan(Plan::default()).await;
    let mut stream = TcpStream::connect(scene.standin.addr()).await.unwrap();
    stream.write_all(&wire_request("")).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP/"));
    let log = scene.log_with(|event| matches!(event, Event::Close { .. })).await;
    let reason = da_standin::CloseReason::TlsError;
    assert!(matches!(log.last().unwrap().event, Event::Close { reason: r, .. } if r == reason));
}

#[tokio::test]
async fn bytes_in_the_log_are_the_bytes_on_the_wire() {
    let scene = Scene::with_plan(Plan::default()).await;
    let mut stream = connect_any(&scene.standin).await;
    let request = wire_request("");
    let seen = exchange(&mut stream, &request).await;
    let received: usize = seen.reads.iter().map(|(_, bytes)| bytes.len()).sum();
    let log = scene.log().await;
    for entry in &log {
        match &entry.event {
            Event::Request { bytes, path, .. } => {
                assert_eq!((*bytes, path.as_str()), (request.len() as u64, "/v1/messages"));
            }
            Event::ResponseEnd { bytes, .. } => assert_eq!(*bytes, received as u64),
            _ => {}
        }
        assert!(entry.name.as_deref().is_none_or(|name| name == ANTHROPIC));
    }
}
