//! A client that sends a request ahead of the handshake (0-RTT), wherever it has a session for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, Stream};

use super::job::Job;
use super::rust::tls_config;

/// Does `job`, and returns how many requests were answered with status 200. All but the first
/// connection send their first request as early data; a server that refuses it is an error.
pub fn run(job: &Job) -> usize {
    let mut config = tls_config(job);
    config.enable_early_data = true;
    let config = Arc::new(config);
    (0..job.connections).map(|number| one_connection(job, &config, number > 0)).sum()
}

fn one_connection(job: &Job, config: &Arc<ClientConfig>, early: bool) -> usize {
    let mut socket = TcpStream::connect(SocketAddr::new(job.address, job.port)).expect("connects");
    socket.set_nodelay(true).expect("no delay");
    let name = job.name.clone().try_into().expect("a name");
    let mut tls = ClientConnection::new(Arc::clone(config), name).expect("a TLS client");
    let request = request(job);
    if early {
        let mut data = tls.early_data().expect("a session that takes early data");
        data.write_all(&request).expect("fits");
    }
    let mut answered = 0;
    for sent in 0..job.requests {
        let mut stream = Stream::new(&mut tls, &mut socket);
        if sent > 0 || !early {
            stream.write_all(&request).expect("writes");
        }
        answered += usize::from(is_answered(&mut stream));
    }
    assert_eq!(tls.is_early_data_accepted(), early);
    tls.send_close_notify();
    // The server may have closed first.
    let _ = tls.write_tls(&mut socket);
    answered
}

fn request(job: &Job) -> Vec<u8> {
    let mut head = format!("POST /v1/messages HTTP/1.1\r\nhost: {}\r\n", job.name);
    for (name, value) in &job.headers {
        head += &format!("{name}: {value}\r\n");
    }
    format!("{head}content-length: {}\r\n\r\n{}", job.body.len(), job.body).into_bytes()
}

/// Reads one chunked response.
fn is_answered(stream: &mut impl Read) -> bool {
    let (mut response, mut buffer) = (Vec::new(), [0; 4096]);
    while !response.ends_with(b"0\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return false,
            Ok(bytes) => response.extend_from_slice(&buffer[..bytes]),
        }
    }
    response.starts_with(b"HTTP/1.1 200")
}
