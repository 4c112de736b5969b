//! A network of its own, with a DNS server in it that answers late, and files that lead clients to it.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use da_testkit::program::Program;
use tempfile::TempDir;

use crate::network::in_own_network;
use crate::plain;

/// The host that has an address: that of [`Network::server`], and no IPv6 one.
pub const HOST: &str = "api.dns.kernel.test";
/// A host that does not exist.
pub const GONE: &str = "gone.dns.kernel.test";
/// A host about which the server says nothing.
pub const SILENT: &str = "silent.dns.kernel.test";
/// A host in a domain of which the server wants to know nothing.
pub const REFUSED: &str = "refused.kernel.test";
/// A domain in which there is nothing.
pub const SEARCHED: &str = "searched.test";
/// How long each answer takes.
pub const DELAY: Duration = Duration::from_millis(120);

/// Where the real server listens; in front of it, at port 53, is what delays it.
const BEHIND: &str = "127.0.0.1:5353";
const ADDRESS: &str = "127.0.0.2";

/// See [`within`].
pub struct Network {
    folder: TempDir,
    _dnsmasq: Program,
    _silent: UdpSocket,
    /// A server of HTTP at the address of [`HOST`].
    pub server: SocketAddr,
}

/// Does something in such a network.
pub fn within<T: Send>(what: impl FnOnce(&Network) -> T + Send) -> T {
    in_own_network(|| what(&Network::new()))
}

impl Network {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let resolver = "nameserver 127.0.0.1\noptions timeout:5 attempts:1\n";
        fs::write(folder.path().join("resolv.conf"), resolver).expect("written");
        // Nobody answers there, and nobody says so.
        let second = "nameserver 127.0.0.3\nnameserver 127.0.0.1\noptions timeout:1 attempts:2\n";
        fs::write(folder.path().join("second.conf"), second).expect("written");
        let searching = format!("{resolver}search {SEARCHED}\noptions ndots:5\n");
        fs::write(folder.path().join("searching.conf"), searching).expect("written");
        fs::write(folder.path().join("nsswitch.conf"), "hosts: files dns\n").expect("written");
        let (at, port) = BEHIND.split_once(':').expect("a port");
        let mut dnsmasq = Command::new("dnsmasq");
        dnsmasq
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"])
            .args(["--user=root", "--pid-file=", "--bind-interfaces"])
            .args([format!("--listen-address={at}"), format!("--port={port}")])
            .arg(format!("--host-record={HOST},{ADDRESS}"))
            .args(["dns.kernel.test", SEARCHED].map(|domain| format!("--local=/{domain}/")))
            .arg("--log-facility=-");
        let log = folder.path().join("dnsmasq.log");
        let mut dnsmasq = Program::start(dnsmasq, &log).expect("dnsmasq");
        let has_begun = |said: &str| said.contains("started").then_some(());
        dnsmasq.wait_for(Duration::from_secs(60), has_begun).expect("dnsmasq answers");
        let silent = UdpSocket::bind("127.0.0.3:53").expect("the port of DNS");
        delay(UdpSocket::bind("127.0.0.1:53").expect("the port of DNS"));
        let server = plain::serve(&format!("{ADDRESS}:0"));
        Self { folder, _dnsmasq: dnsmasq, _silent: silent, server }
    }

    /// The address of [`HOST`].
    pub fn address(&self) -> IpAddr {
        self.server.ip()
    }

    /// A folder for what a test makes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A program that asks this network's server.
    pub fn command(&self, program: &str) -> Command {
        self.command_with("resolv.conf", program)
    }

    /// The same, that looks a name up in the domain [`SEARCHED`] first.
    pub fn searching_command(&self, program: &str) -> Command {
        self.command_with("searching.conf", program)
    }

    /// The same, whose first server never answers.
    pub fn patient_command(&self, program: &str) -> Command {
        self.command_with("second.conf", program)
    }

    fn command_with(&self, resolver: &str, program: &str) -> Command {
        const SCRIPT: &str = r#"mount --bind "$1" /etc/resolv.conf &&
            mount --bind "$2" /etc/nsswitch.conf && shift 2 && exec "$@""#;
        let mut command = Command::new("unshare");
        // What it says would come between what the tests say.
        command.stdout(Stdio::null());
        command.args(["--mount", "sh", "-c", SCRIPT, "sh"]);
        let files = [resolver, "nsswitch.conf"].map(|name| self.folder().join(name));
        command.args(files).arg(program);
        command
    }
}

/// Hands each query on, each answer back after [`DELAY`], and those for [`SILENT`] to nobody.
fn delay(front: UdpSocket) {
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((bytes, from)) = front.recv_from(&mut buffer) {
            let query = buffer[..bytes].to_vec();
            if query.windows(6).any(|six| six.eq_ignore_ascii_case(b"silent")) {
                continue;
            }
            let front = front.try_clone().expect("a socket");
            thread::spawn(move || {
                thread::sleep(DELAY);
                let behind = UdpSocket::bind("127.0.0.1:0").expect("a port");
                let mut answer = [0; 1500];
                // It may have just begun.
                behind.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
                for _ in 0..200 {
                    behind.send_to(&query, BEHIND).expect("sends");
                    if let Ok((bytes, _)) = behind.recv_from(&mut answer) {
                        // Whoever asked may have gone.
                        let _ = front.send_to(&answer[..bytes], from);
                        return;
                    }
                }
            });
        }
    });
}
