//! Connections that become something else than HTTP.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use da_server::kernel::{ExchangeOutcome, Unlisted, What};

use crate::lab::{Lab, endpoint};

const NAME: &str = "upgrades.kernel.test";

/// Asked for in the clear, an upgrade to WebSocket is seen: what follows is no exchange of requests
/// and responses. The connection counts once, its bytes count to the last.
#[test]
fn a_websocket_in_the_clear_counts_once() {
    const MESSAGES: usize = 20;
    let Some(mut lab) = Lab::open(&[endpoint("upgrades", NAME)], Unlisted::Drop) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = socket.read(&mut buffer) {
            socket.write_all(&buffer[..read]).expect("echoes");
        }
    });
    let mut socket = TcpStream::connect(at).expect("connects");
    let upgrade = format!(
        "GET /v1/realtime HTTP/1.1\r\nhost: {NAME}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n"
    );
    let mut said = 0;
    let mut say = |bytes: &[u8]| {
        socket.write_all(bytes).expect("writes");
        socket.read_exact(&mut vec![0; bytes.len()]).expect("an echo");
        said += bytes.len();
    };
    say(upgrade.as_bytes());
    (0..MESSAGES).for_each(|_| say(b"\x82\x85maskIknow"));
    drop(socket);
    server.join().expect("the server");
    lab.wait_closed(1);
    let sent =
        lab.value("digital_actors_socket_sent_bytes_total{kind=\"llm\",provider=\"upgrades\"}");
    assert_eq!(sent, said as f64);
    let outcomes: Vec<_> = lab
        .close()
        .into_iter()
        .filter_map(|one| match one.what {
            What::Exchange(seen) => Some(seen.measured.outcome),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [ExchangeOutcome::Ambiguous]);
}
