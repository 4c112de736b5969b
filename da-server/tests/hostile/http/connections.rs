//! Connections that are not used as they should be.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use super::{get, shape, told};
use crate::case::{Case, play};
use crate::server::{PATIENCE, Settings};

/// RFC 9113 §3.4, and empty SETTINGS.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The beginning of a ClientHello.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03\r\n\r\n";

fn upgrade(headers: &str) -> Vec<u8> {
    format!("GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n{headers}\r\n").into()
}

/// A client does this with its connection, and what comes back is told.
fn connection(
    done: &'static str,
    act: fn(&mut TcpStream) -> std::io::Result<()>,
    expected: &'static str,
) {
    play(&Case { done, expected }, Settings::healthy(), async |server| {
        let address = server.address;
        let acting = tokio::task::spawn_blocking(move || {
            let mut socket = TcpStream::connect(address).expect("connected");
            socket.set_read_timeout(Some(PATIENCE)).expect("set");
            // Whoever is thrown out in the middle has an error.
            let _ = act(&mut socket);
            let mut answer = Vec::new();
            let _ = std::io::Read::read_to_end(&mut socket, &mut answer);
            told(&answer)
        });
        assert_eq!(server.turn("And I?").await, "success", "of a healthy player beside it");
        acting.await.expect("no panic")
    });
}

mod shapes {
    use super::*;

    cases! { shape;
        pipelining: "ten requests at once",
            [b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(9),
             get("GET /health HTTP/1.1")].concat(),
            "200 200 200 200 200 200 200 200 200 200";
        http_2: "HTTP/2 without TLS", HTTP_2, "another protocol";
        http_2_and_garbage: "HTTP/2 and then a frame of 16 MB",
            [HTTP_2, b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"].concat(), "another protocol";
        tls: "TLS where there is none", CLIENT_HELLO, "400|closed without a word";
        socks: "SOCKS", b"\x05\x01\x00\r\n\r\n", "400";
        garbage: "16 KB of zeros", [0_u8; 16 * 1024], "400";
        upgrade_without_key: "a WebSocket without a key",
            upgrade("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"), "426";
        upgrade_of_another_version: "a WebSocket of version 8",
            upgrade("Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "426";
        upgrade_to_another_protocol: "an upgrade to h2c",
            upgrade("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), "426";
    }
}

mod acts {
    use super::*;

    cases! { connection;
        silent: "a connection on which nothing is said", |_| Ok(()), "closed without a word|408";
        slow: "a head of one byte a second", |socket| {
            for byte in b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" {
                socket.write_all(&[*byte])?;
                thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        }, "closed without a word|408";
        half_a_request: "half a request, and the end of it", |socket| {
            socket.write_all(b"GET /health HT")?;
            socket.shutdown(Shutdown::Write)
        }, "closed without a word|400";
        half_closed: "a whole request, and no more from its client", |socket| {
            socket.write_all(&get("GET /health HTTP/1.1"))?;
            socket.shutdown(Shutdown::Write)
        }, "200|closed without a word";
        reset: "half a request, and a reset", |socket| {
            socket.write_all(b"GET /metrics HTTP/1.1\r\n")?;
            rustix::net::sockopt::set_socket_linger(&*socket, Some(Duration::ZERO))?;
            let gone = TcpStream::connect(socket.peer_addr()?)?;
            drop(std::mem::replace(socket, gone));
            socket.shutdown(Shutdown::Write)
        }, "closed without a word";
    }
}
