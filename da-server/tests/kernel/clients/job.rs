//! What a client is to do, in the words that all of them understand.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

/// `connections` connections, one after the other, each with `requests` requests one after the other
/// and then `at_once` at once. The programs read it as JSON.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    /// What to POST to.
    pub url: String,
    /// The host in it.
    pub name: String,
    /// Where that is.
    pub address: IpAddr,
    /// The port in it.
    pub port: u16,
    /// `1.2` or `1.3`, that version and no other; none in the clear.
    pub tls: Option<&'static str>,
    /// Offer HTTP/2 by ALPN; in the clear, speak it.
    pub http2: bool,
    /// The certificate to trust, PEM.
    pub ca_file: PathBuf,
    /// Connections to make.
    pub connections: usize,
    /// Requests on each, one after the other.
    pub requests: usize,
    /// Requests on each after those, all at once: HTTP/2 only.
    pub at_once: usize,
    /// Request headers.
    pub headers: BTreeMap<&'static str, &'static str>,
    /// Further ones on the last request of a connection, for a client that can't close one itself.
    pub last_headers: BTreeMap<&'static str, &'static str>,
    /// Request body.
    pub body: &'static str,
}

impl Job {
    /// Requests in all.
    pub fn exchanges(&self) -> usize {
        self.connections * (self.requests + self.at_once)
    }
}
