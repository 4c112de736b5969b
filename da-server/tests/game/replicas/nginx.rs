//! The load balancer: nginx, which hands connections out in turn.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use da_testkit::nginx;
use da_testkit::program::Program;

const PORT: u16 = 15_431;
/// Longer than it takes to begin.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Nginx {
    _program: Program,
    pub address: SocketAddr,
}

impl Nginx {
    /// One before `replicas`, with its files in `folder`.
    pub fn start(folder: &Path, replicas: &[SocketAddr]) -> Self {
        // Its own of all loopback addresses, so that its port is nobody else's.
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let address = SocketAddr::from((Ipv4Addr::new(127, 128 | a, b, c), PORT));
        let servers: String =
            replicas.iter().map(|replica| format!("server {replica};\n")).collect();
        let http = format!(
            "access_log off;\n\
             upstream replicas {{\n{servers}}}\n\
             server {{\n\
             listen {address};\n\
             location / {{\n\
             proxy_pass http://replicas;\n\
             proxy_http_version 1.1;\n\
             proxy_set_header Host $http_host;\n\
             proxy_set_header Upgrade $http_upgrade;\n\
             proxy_set_header Connection upgrade;\n\
             proxy_read_timeout 1h;\n\
             }}}}"
        );
        let command = nginx::command(folder, &http).expect("written");
        let log = folder.join("nginx.log");
        let mut program = Program::start(command, &log).expect("nginx starts");
        let connect = |_: &str| TcpStream::connect(address).ok().map(drop);
        program.wait_for(PATIENCE, connect).unwrap_or_else(|error| panic!("{error:#}"));
        Self { _program: program, address }
    }
}
