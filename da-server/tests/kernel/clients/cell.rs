//! The cells of the table: client × TLS × protocol × server, over all kinds of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::program::Client;

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The stand-in: rustls, HTTP/1.1.
    Standin,
    /// nginx: OpenSSL, HTTP/1.1 whatever is offered.
    Nginx,
    /// nginx: OpenSSL, HTTP/2.
    NginxHttp2,
}

/// How the server's address is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    V4,
    V6,
    /// An IPv4 address in an IPv6 socket.
    Mapped,
}

impl Address {
    /// The loopback address of that kind.
    pub fn ip(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => Ipv6Addr::LOCALHOST.into(),
            Self::Mapped => Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
        }
    }
}

/// One cell.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub client: Client,
    /// `1.2`, `1.3`, or in the clear.
    pub tls: Option<&'static str>,
    /// The client offers HTTP/2; in the clear it speaks it.
    pub http2: bool,
    pub server: Server,
    pub address: Address,
    /// The client asks for leave before it sends a body.
    pub expects: bool,
}

impl Cell {
    /// Whether what is sent on its connections can be told apart. An upgrade that is asked for in the
    /// clear may have been granted.
    pub fn is_told_apart(&self) -> bool {
        self.server != Server::NginxHttp2 && !(self.http2 && self.tls.is_none())
    }

    /// Which protocol is spoken.
    pub fn protocol(&self) -> &'static str {
        match (self.server, self.http2) {
            (Server::NginxHttp2, _) => "HTTP/2",
            (_, true) if self.tls.is_none() => "HTTP/1.1, h2c asked",
            (_, true) => "HTTP/1.1, 2 offered",
            (_, false) if self.expects => "HTTP/1.1, Expect",
            (_, false) => "HTTP/1.1",
        }
    }
}

/// Every cell. The addresses take turns.
pub fn all() -> Vec<Cell> {
    use Client::{
        Aiohttp, Curl, EarlyData, Fetch, Go, Httpx, Java, NodeHttp2, Requests, Reqwest,
        UrlConnection,
    };
    const TLS: [Option<&str>; 2] = [Some("1.2"), Some("1.3")];
    let http1 = [Reqwest, Requests, Httpx, Aiohttp, Fetch, Curl, Go, Java];
    let mut cells = Vec::new();
    let mut add = |clients: &[Client], versions: &[Option<&'static str>], http2, server| {
        for client in clients {
            for tls in versions {
                let address = [Address::V4, Address::V6, Address::Mapped][cells.len() % 3];
                let (client, tls) = (*client, *tls);
                cells.push(Cell { client, tls, http2, server, address, expects: false });
            }
        }
    };
    add(&http1, &[None, TLS[0], TLS[1]], false, Server::Standin);
    add(&[UrlConnection], &[None, TLS[0], TLS[1]], false, Server::Standin);
    add(&http1, &TLS, false, Server::Nginx);
    add(&[EarlyData], &TLS[1..], false, Server::Nginx);
    add(&[Reqwest, Httpx, Curl, Go, Java], &TLS, true, Server::Nginx);
    add(&[Reqwest, Httpx, NodeHttp2, Curl, Go, Java], &TLS, true, Server::NginxHttp2);
    // Not curl: 7.88 repeats the preface with every further request, and is turned away.
    add(&[Reqwest, Httpx, NodeHttp2], &[None], true, Server::NginxHttp2);
    // It asks in the clear for an upgrade to HTTP/2, and goes on when it is not answered.
    add(&[Java], &[None], true, Server::Nginx);
    let clear_or_tls = [None, TLS[0], TLS[1]];
    let expecting = clear_or_tls.into_iter().zip([Address::V4, Address::V6, Address::Mapped]);
    cells.extend(expecting.map(|(tls, address)| Cell {
        client: Curl,
        tls,
        http2: false,
        server: Server::Nginx,
        address,
        expects: true,
    }));
    cells
}
