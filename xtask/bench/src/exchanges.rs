//! Requests and responses over real loopback connections, with both ends in one thread: nobody has
//! to be woken up, so what is left is what the kernel does.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::Result;

const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {}\r\n\r\n";

/// Connections to one host.
pub struct Exchanges {
    request: Vec<u8>,
    /// The client's and the server's end of each.
    pairs: Vec<(TcpStream, TcpStream)>,
}

impl Exchanges {
    /// Opens so many connections; what is asked of them names `host`.
    pub fn open(host: &str, connections: usize) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let to = listener.local_addr()?;
        let pair = |_| {
            let client = TcpStream::connect(to)?;
            let (server, _) = listener.accept()?;
            for end in [&client, &server] {
                end.set_nodelay(true)?;
            }
            Ok((client, server))
        };
        let pairs = (0..connections).map(pair).collect::<io::Result<_>>()?;
        let request = format!("POST /v1/messages HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        Ok(Self { request, pairs })
    }

    /// One exchange on each connection.
    pub fn round(&mut self) -> Result<()> {
        let mut request = vec![0; self.request.len()];
        let mut response = [0; RESPONSE.len()];
        for (client, _) in &mut self.pairs {
            client.write_all(&self.request)?;
        }
        for (_, server) in &mut self.pairs {
            server.read_exact(&mut request)?;
            server.write_all(RESPONSE)?;
        }
        for (client, _) in &mut self.pairs {
            client.read_exact(&mut response)?;
        }
        Ok(())
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.pairs.len()
    }
}
