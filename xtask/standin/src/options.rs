//! What a stand-in is started with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::plan::Plan;

/// The names that a stand-in answers to unless told otherwise.
pub const DEFAULT_NAMES: [&str; 4] = [
    "api.anthropic.com",
    "api.openai.com",
    "api.elevenlabs.io",
    "generativelanguage.googleapis.com",
];

/// Which TLS the listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TlsMode {
    /// None: HTTP in the clear.
    Plain,
    /// 1.2 only.
    #[value(name = "1.2")]
    V12,
    /// 1.3 only.
    #[value(name = "1.3")]
    V13,
    /// 1.2 and 1.3.
    Both,
}

/// What [`Standin::start`](crate::Standin::start) needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names in the certificate, beside `localhost`, 127.0.0.1, ::1 and the listening address.
    pub names: Vec<String>,
    /// TLS versions, or none.
    pub tls: TlsMode,
    /// Session tickets sent after a TLS 1.3 handshake. 0 also ends resumption in TLS 1.3.
    pub tickets: usize,
    /// Make every TLS 1.3 client that does not begin with P-384 send a second ClientHello.
    pub hello_retry: bool,
    /// Connections that the kernel completes and keeps before accept() takes them. Once it is
    /// full (see [`Standin::pause_accept`](crate::Standin::pause_accept)) the kernel drops SYNs,
    /// and a client's connect takes until a retransmission: 1 s, 3 s, …
    pub backlog: u32,
    /// How requests are answered, for names without a plan of their own.
    pub plan: Plan,
    /// Plans by name, as in [`Standin::set_plan_for`](crate::Standin::set_plan_for).
    pub plans: Vec<(String, Plan)>,
    /// Chooses the lines, the random delays and the faults; the same seed and order of requests
    /// give the same.
    pub seed: u64,
    /// Where the log goes as JSON lines; an existing file is overwritten.
    pub log_file: Option<PathBuf>,
    /// How many entries [`Standin::log`](crate::Standin::log) keeps at most, the newest;
    /// none keeps all, in memory without bound.
    pub log_capacity: Option<usize>,
    /// Where the certificate of the CA goes, in PEM. Its key never leaves memory.
    pub ca_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            names: DEFAULT_NAMES.map(String::from).to_vec(),
            tls: TlsMode::Both,
            tickets: 2,
            hello_retry: false,
            backlog: 1024,
            plan: Plan::default(),
            plans: Vec::new(),
            seed: 0,
            log_file: None,
            log_capacity: Some(100_000),
            ca_file: None,
        }
    }
}
