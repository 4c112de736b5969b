//! Bytes that are no HTTP, or HTTP as nobody should speak it.

mod bodies;
mod connections;
mod headers;
mod request_lines;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::case::{Case, play};
use crate::server::{PATIENCE, Server, Settings};

/// After so long without a byte an answer is over.
const QUIET: Duration = Duration::from_millis(400);

/// Sends these bytes, and tells of every answer its status.
fn shape(done: &'static str, bytes: impl AsRef<[u8]>, expected: &'static str) {
    play(&Case { done, expected }, Settings::healthy(), async |server| {
        // A healthy player is beside it, whatever comes.
        let (came, beside) = tokio::join!(statuses(server, bytes.as_ref()), server.turn("And I?"));
        assert_eq!(beside, "success", "of a healthy player beside it");
        came
    });
}

/// The statuses of all that comes back for these bytes, in their order.
async fn statuses(server: &Server, bytes: &[u8]) -> String {
    let (address, bytes) = (server.address, bytes.to_vec());
    let exchange = move || {
        let mut socket = TcpStream::connect(address).expect("connected");
        // It may close before it has read everything.
        let _ = socket.write_all(&bytes);
        let mut answer = Vec::new();
        let mut buffer = [0; 64 * 1024];
        loop {
            let patience = if answer.is_empty() { PATIENCE } else { QUIET };
            socket.set_read_timeout(Some(patience)).expect("set");
            match socket.read(&mut buffer) {
                Ok(0) | Err(_) => return answer,
                Ok(length) => answer.extend_from_slice(&buffer[..length]),
            }
        }
    };
    let answer = tokio::task::spawn_blocking(exchange).await.expect("no panic");
    told(&answer)
}

/// What an answer is: the status of each response in it.
fn told(answer: &[u8]) -> String {
    const VERSION: &str = "HTTP/1.";
    let text = String::from_utf8_lossy(answer);
    let responses = text.match_indices(VERSION).map(|(at, _)| &text[at..]);
    let status = |response: &str| response.split(' ').nth(1).map(|s| s.get(..3).map(str::to_owned));
    let statuses: Vec<_> = responses.filter_map(|response| status(response).flatten()).collect();
    match statuses[..] {
        [] if answer.is_empty() => "closed without a word".to_owned(),
        [] => "another protocol".to_owned(),
        _ => statuses.join(" "),
    }
}

/// A request of this line with a usual head.
fn get(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n").into()
}

/// A usual request with these headers besides, each with its end of line.
fn with(headers: &str) -> Vec<u8> {
    format!("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").into()
}

/// A POST to an address that takes none, with these headers and this body, and then a GET.
fn post(headers: &str, body: &str) -> Vec<u8> {
    let get = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    format!("POST /health HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}{get}").into()
}
