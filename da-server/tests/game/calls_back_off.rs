//! How soon `da-server calls --follow` asks again, where each connection works and then breaks.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crate::server::PATIENCE;

/// A server without calls, which breaks off whatever follows them; and the word that it was followed.
fn breaking_server() -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address");
    let (followed, times) = channel();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            answer(socket, &followed);
        }
    });
    (address, times)
}

fn answer(mut socket: TcpStream, followed: &Sender<()>) {
    let lines = BufReader::new(socket.try_clone().expect("cloned")).lines();
    let head: Vec<_> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let live = head.first().is_some_and(|line| line.contains("/api/calls/live"));
    let answer = if live {
        // Chunks without an end: a connection that ends here has broken.
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    } else {
        "HTTP/1.1 200 OK\r\ncontent-length: 27\r\nconnection: close\r\n\r\n\
         {\"calls\":[],\"providers\":[]}"
    };
    socket.write_all(answer.as_bytes()).expect("written");
    if live {
        // The test may have seen enough.
        let _ = followed.send(());
    }
}

#[test]
fn it_does_not_wait_longer_each_time_that_a_working_connection_breaks() {
    let (address, times) = breaking_server();
    let mut child = Command::new(env!("CARGO_BIN_EXE_da-server"))
        .env_clear()
        .args(["calls", &format!("http://{address}"), "--follow"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let until = Instant::now() + PATIENCE;
    let next = |_| times.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
    let followed = (0..9).map_while(next).count();
    child.kill().expect("killed");
    let said = child.wait_with_output().expect("ended").stderr;
    let said = String::from_utf8(said).expect("text");
    assert!(said.contains("can't be reached"), "none of them has broken: {said}");
    // Twice as long each time, up to ten seconds, eight waits would take three quarters of a minute.
    assert_eq!(followed, 9, "in {PATIENCE:?}: {said}");
}
