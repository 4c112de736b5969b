//! An HTTP proxy that leads to one server, whatever it is asked for.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// The end of a request's head.
const END: &[u8] = b"\r\n\r\n";

/// Where it listens, for as long as the process lives. What is asked for by `CONNECT` is passed on as it
/// is; what is asked for by a whole URL is, too, with a path in the URL's place.
pub fn start(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.expect("a client");
            // A client that has gone is no failure.
            std::thread::spawn(move || pass(&client, to));
        }
    });
    address
}

fn pass(mut client: &TcpStream, to: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = TcpStream::connect(to)?;
    server.set_nodelay(true)?;
    let head = head(client)?;
    if head.starts_with(b"CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    } else {
        (&server).write_all(&with_path(&head))?;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &server, &mut &*client);
            let _ = client.shutdown(Shutdown::Both);
        });
        let mut buffer = [0; 64 * 1024];
        while let Ok(bytes @ 1..) = client.read(&mut buffer) {
            (&server).write_all(&with_path(&buffer[..bytes]))?;
        }
        server.shutdown(Shutdown::Both)
    })
}

/// What came up to the end of the first request's head, and what came with that.
fn head(mut client: &TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(END.len()).any(|end| end == END) {
        let bytes = client.read(&mut buffer)?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..bytes]);
    }
    Ok(head)
}

/// `POST http://host/path` becomes `POST /path`; anything else stays.
fn with_path(sent: &[u8]) -> Vec<u8> {
    let begins = b"POST http://";
    let path = sent.strip_prefix(begins).and_then(|url| {
        let host = url.iter().position(|byte| *byte == b'/')?;
        Some([b"POST ", &url[host..]].concat())
    });
    path.unwrap_or_else(|| sent.to_vec())
}
