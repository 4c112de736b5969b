//! All that answers the clients, and what its logs say.

use std::collections::HashSet;
use std::fs;
use std::hash::Hash;
use std::path::{Path, PathBuf};

use da_standin::{Delay, Event, LogEntry, Options, Plan, Standin, TlsMode};

use super::cell::{Cell, Server};
use super::job::Job;
use super::nginx::{self, Nginx};
use super::relay::Relay;
use crate::lab::Lab;

/// Connections of a cell, and requests on each, one after the other.
const CONNECTIONS: usize = 3;
const REQUESTS: usize = 4;
/// And then so many at once, over HTTP/2.
const AT_ONCE: usize = 3;

/// What Anthropic's protocol wants.
pub const HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/json"),
    ("anthropic-version", "2023-06-01"),
    ("x-api-key", "none"),
];
const EXPECT: (&str, &str) = ("expect", "100-continue");
/// A question in that protocol, answered as a stream.
pub const BODY: &str =
    r#"{"model":"m","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"Ahoy"}]}"#;

/// What a server says of a cell.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Requests.
    pub exchanges: usize,
    /// Connections that brought them.
    pub connections: usize,
    /// Those of them that resumed a TLS session.
    pub resumed: usize,
    /// Those whose first request came as early data.
    pub early: usize,
    /// Bytes that the client sent, and that were sent to it, where they were counted.
    pub bytes: Option<(u64, u64)>,
}

impl Sent {
    /// What a stand-in's log says of the connections to `name`.
    pub fn to_standin(log: &[LogEntry], name: &str) -> Self {
        let own: Vec<_> = log.iter().filter(|entry| entry.name.as_deref() == Some(name)).collect();
        let count =
            |wanted: fn(&Event) -> bool| own.iter().filter(|entry| wanted(&entry.event)).count();
        Self {
            exchanges: count(|event| matches!(event, Event::Request { .. })),
            connections: distinct(own.iter().map(|entry| entry.conn)),
            resumed: count(|event| matches!(event, Event::HandshakeDone { resumed: true, .. })),
            early: 0,
            bytes: None,
        }
    }
}

/// The servers. nginx stands before a stand-in, and behind one relay for each cell.
pub struct Servers {
    folder: PathBuf,
    plain: Standin,
    tls: Standin,
    nginx: Nginx,
}

/// The way to nginx for `cell`, or none for another server.
pub fn relay(cell: &Cell, folder: &Path) -> Option<Relay> {
    let http2 = match cell.server {
        Server::Standin => return None,
        Server::Nginx => false,
        Server::NginxHttp2 => true,
    };
    Some(Relay::start(nginx::socket(folder, cell.tls.is_some(), http2)))
}

impl Servers {
    /// Starts them, with files in `folder` and a certificate for `names`.
    pub fn start(lab: &Lab, folder: &Path, names: &str) -> Self {
        let standin = |tls| {
            lab.standin(Options {
                listen: "[::]:0".parse().expect("an address"),
                names: vec![names.to_owned()],
                tls,
                plan: Plan {
                    first_byte_ms: Delay::Fixed(15.0),
                    between_chunks_ms: Delay::Fixed(2.0),
                    chunks: Some(2),
                    ..Plan::default()
                },
                ..Options::default()
            })
        };
        let (plain, tls) = (standin(TlsMode::Plain), standin(TlsMode::Both));
        fs::write(folder.join("standin.pem"), tls.ca_pem()).expect("writes");
        let own =
            rcgen::generate_simple_self_signed(vec![names.to_owned()]).expect("a certificate");
        fs::write(folder.join("nginx.pem"), own.cert.pem()).expect("writes");
        fs::write(folder.join("key.pem"), own.signing_key.serialize_pem()).expect("writes");
        let nginx = Nginx::start(folder, plain.addr().port(), REQUESTS);
        Self { folder: folder.to_owned(), plain, tls, nginx }
    }

    fn standin(&self, cell: &Cell) -> &Standin {
        if cell.tls.is_some() { &self.tls } else { &self.plain }
    }

    /// What the client of `cell` is to do.
    pub fn job(&self, cell: &Cell, name: String, relay: Option<&Relay>) -> Job {
        let port = relay.map_or_else(|| self.standin(cell).addr().port(), |relay| relay.port);
        let ca = if relay.is_some() { "nginx.pem" } else { "standin.pem" };
        let scheme = if cell.tls.is_some() { "https" } else { "http" };
        Job {
            url: format!("{scheme}://{name}:{port}/v1/messages"),
            name,
            address: cell.address.ip(),
            port,
            tls: cell.tls,
            http2: cell.http2,
            ca_file: self.folder.join(ca),
            connections: CONNECTIONS,
            requests: REQUESTS,
            at_once: if cell.server == Server::NginxHttp2 { AT_ONCE } else { 0 },
            headers: HEADERS.into_iter().chain(cell.expects.then_some(EXPECT)).collect(),
            last_headers: [("x-standin-plan", r#"{"close":true}"#)].into(),
            body: BODY,
        }
    }

    /// What the server's log says of `job`, which is done.
    pub fn sent(&self, cell: &Cell, job: &Job, relay: Option<&Relay>) -> Sent {
        match relay {
            Some(relay) => self.sent_to_nginx(cell, job, relay),
            None => self.sent_to_standin(cell, job),
        }
    }

    fn sent_to_nginx(&self, cell: &Cell, job: &Job, relay: &Relay) -> Sent {
        let lines = self.nginx.log(&job.name, job.exchanges());
        let protocol = if cell.server == Server::NginxHttp2 { "HTTP/2.0" } else { "HTTP/1.1" };
        let tls = cell.tls.map_or("-".to_owned(), |version| format!("TLSv{version}"));
        let as_meant = lines.iter().all(|line| line.protocol == protocol && line.tls == tls);
        assert!(as_meant, "{cell:?}: {lines:?}");
        let of = |wanted: fn(&nginx::Line) -> bool| {
            distinct(lines.iter().filter(|line| wanted(line)).map(|line| line.connection))
        };
        let passed = relay.take(of(|_| true));
        assert_eq!(of(|_| true), passed.len(), "{cell:?}: nginx and the relay");
        Sent {
            exchanges: lines.len(),
            connections: passed.len(),
            resumed: of(|line| line.resumed),
            early: of(|line| line.early),
            bytes: Some((
                passed.iter().map(|one| one.from_client).sum(),
                passed.iter().map(|one| one.to_client).sum(),
            )),
        }
    }

    fn sent_to_standin(&self, cell: &Cell, job: &Job) -> Sent {
        Sent::to_standin(&self.standin(cell).log(), &job.name)
    }
}

fn distinct<T: Eq + Hash>(all: impl Iterator<Item = T>) -> usize {
    all.collect::<HashSet<_>>().len()
}
