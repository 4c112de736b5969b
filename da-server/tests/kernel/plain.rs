//! HTTP in the clear: a server in a thread, and what a client says over a socket of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// What the server answers.
pub const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A request.
pub fn request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
}

/// Answers every request on every connection to the address that is returned.
pub fn serve(listen: &str) -> SocketAddr {
    let listener = TcpListener::bind(listen).expect("a port");
    let at = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(socket));
        }
    });
    at
}

/// Answers every request on a connection, until the client has gone, in whatever way.
pub fn answer(mut socket: TcpStream) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = socket.read(&mut buffer) {
        request.extend_from_slice(&buffer[..read]);
        while let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            request.drain(..end + 4);
            if socket.write_all(RESPONSE).is_err() {
                return;
            }
        }
    }
}

/// Sends one request and reads its answer.
pub fn exchange(socket: &mut TcpStream, host: &str) {
    socket.write_all(&request(host)).expect("writes");
    receive(socket);
}

/// Reads one answer.
pub fn receive(socket: &mut TcpStream) {
    let mut response = [0; RESPONSE.len()];
    socket.read_exact(&mut response).expect("reads");
    assert_eq!(response, RESPONSE);
}
