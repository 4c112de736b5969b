//! How connections end: with a reason that arrives, and within a bound.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::server::{PATIENCE, Server};

/// Who is sent away for what they send, and goes on sending, still hears why.
#[tokio::test]
async fn the_reason_arrives_amid_a_flood() {
    let server = Server::start().await;
    for _ in 0..20 {
        let url = format!("ws://{}/ws", server.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("connected");
        let (mut sink, mut stream) = socket.split();
        let start = r#"{"type":"start","scene":"quiet"}"#;
        sink.send(Message::text(start)).await.expect("sent");
        let flooding = tokio::spawn(async move {
            while sink.send(Message::text("x".repeat(1000))).await.is_ok() {}
        });
        let closed = async {
            loop {
                match stream.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.expect("a reason"),
                    Some(Ok(_)) => {}
                    other => panic!("the reason was lost: {other:?}"),
                }
            }
        };
        let frame = tokio::time::timeout(PATIENCE, closed).await.expect("in time");
        assert_eq!(frame.reason.as_str(), "invalid_messages");
        flooding.abort();
    }
}

/// By order: the one that has sent nothing goes first, the one that has asked before may wait longer.
#[tokio::test]
async fn a_connection_that_was_used_is_kept_longer_than_load_balancers_keep_theirs() {
    let server = Server::start().await;
    let mut used = TcpStream::connect(server.address).await.expect("connected");
    ask(&mut used, server.address).await;
    let mut silent = TcpStream::connect(server.address).await.expect("connected");
    // The server gives a silent one up, which it may only do within its own time.
    let mut nothing = [0; 64];
    let ended = tokio::time::timeout(2 * PATIENCE, silent.read(&mut nothing));
    ended.await.expect("given up").ok();
    ask(&mut used, server.address).await;
}

#[tokio::test]
async fn how_long_a_connection_may_wait_is_configured() {
    let server = Server::with(|config| config.keep_alive_seconds = 1).await;
    let mut used = TcpStream::connect(server.address).await.expect("connected");
    ask(&mut used, server.address).await;
    let ended = tokio::time::timeout(PATIENCE, used.read(&mut [0; 64])).await.expect("given up");
    assert_eq!(ended.unwrap_or(0), 0);
}

async fn ask(connection: &mut TcpStream, address: SocketAddr) {
    let request = format!("GET /style.css HTTP/1.1\r\nhost: {address}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    let read = async {
        // The last rule of the sheet ends it.
        while !(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"}\n")) {
            let read = connection.read(&mut piece).await.expect("still open");
            assert!(read > 0, "it was closed");
            answer.extend_from_slice(&piece[..read]);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer");
}
