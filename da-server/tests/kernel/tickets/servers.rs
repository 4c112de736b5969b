//! All that answers.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use da_standin::now_ns;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::cell::{Make, Server};
use crate::clients::program::GO_CACHE;
use da_testkit::programs::skip;

/// Sources of the programs.
pub const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/tickets/programs");

/// The servers and the ports that they listen at, on the loopback address.
pub struct Servers {
    pub ports: Vec<(Server, u16)>,
    programs: Vec<Child>,
}

impl Servers {
    /// Starts those that are installed, with `certificate.pem` and `key.pem` of `folder`, and says of the
    /// others that they are skipped.
    pub fn start(folder: &Path) -> Self {
        let mut servers = Self { ports: Vec::new(), programs: Vec::new() };
        let mut python = Command::new("python3");
        python.arg(Path::new(SOURCES).join("server.py"));
        let plain_port = servers.run(Make::OpenSsl, &mut python, folder);
        for tickets in 0..6 {
            let server = Server { make: Make::Rustls, tickets };
            servers.ports.push((server, rustls(folder, tickets)));
        }
        if let Some(program) = go(folder) {
            servers.run(Make::Go, &mut Command::new(program), folder);
        }
        let mut node = Command::new("node");
        servers.run(Make::Node, node.arg(Path::new(SOURCES).join("server.mjs")), folder);
        if let Some(upstream_port) = plain_port {
            servers.nginx(folder, upstream_port);
        }
        servers
    }

    /// Runs a program that says where it listens. Returns the port of its server in the clear.
    fn run(&mut self, make: Make, program: &mut Command, folder: &Path) -> Option<u16> {
        program.arg(folder.join("certificate.pem")).arg(folder.join("key.pem"));
        let program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut program = match program {
            Ok(program) => program,
            Err(error) => {
                skip(&format!("{make:?}: {error}"));
                return None;
            }
        };
        let mut plain_port = None;
        let lines = BufReader::new(program.stdout.take().expect("piped")).lines();
        for line in lines.map_while(Result::ok).take_while(|line| line != "ready") {
            let (name, port) = line.split_once(' ').expect("a name and a port");
            let port = port.parse().expect("a port");
            match name.parse() {
                Ok(tickets) => self.ports.push((Server { make, tickets }, port)),
                Err(_) => plain_port = Some(port),
            }
        }
        self.programs.push(program);
        plain_port
    }

    /// nginx before the server in the clear; it sends OpenSSL's two tickets.
    fn nginx(&mut self, folder: &Path, upstream_port: u16) {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let configuration = format!(
            "daemon off; worker_processes 1; user root; pid pid; error_log error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{\n\
               access_log off;\n\
               client_body_temp_path body; proxy_temp_path proxy;\n\
               fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
               ssl_certificate certificate.pem; ssl_certificate_key key.pem;\n\
               ssl_protocols TLSv1.3;\n\
               server {{\n\
                 listen 127.0.0.1:{port} ssl;\n\
                 location / {{ proxy_pass http://127.0.0.1:{upstream_port}; \
                   proxy_set_header Host upstream.invalid; }}\n\
               }}\n\
             }}\n"
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration).expect("writes");
        let nginx = Command::new("nginx")
            .args(["-p".as_ref(), folder.as_os_str(), "-c".as_ref(), file.as_os_str()])
            .args(["-e".as_ref(), folder.join("error.log").as_os_str()])
            .spawn();
        let nginx = match nginx {
            Ok(nginx) => nginx,
            Err(error) => return skip(&format!("nginx: {error}")),
        };
        self.programs.push(nginx);
        for _ in 0..6_000 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return self.ports.push((Server { make: Make::Nginx, tickets: 2 }, port));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nginx does not listen");
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let pid = program.id().cast_signed();
            // SAFETY: sends a signal to the child that this value owns and has not waited for, so the
            // number is still its own.
            unsafe { libc::kill(pid, libc::SIGTERM) };
            // It ends by that signal; a status would tell nothing.
            let _ = program.wait();
        }
    }
}

fn go(folder: &Path) -> Option<std::path::PathBuf> {
    let program = folder.join("server-go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(Path::new(SOURCES).join("server.go"))
        .env("GO111MODULE", "off")
        .env("GOCACHE", GO_CACHE)
        .env("GOPATH", folder.join("go-path"))
        .status();
    match built {
        Ok(status) => {
            assert!(status.success(), "the server in Go does not compile");
            Some(program)
        }
        Err(error) => {
            skip(&format!("Go: {error}"));
            None
        }
    }
}

/// A server by rustls, with a thread for each connection; its port. It ends with the test.
fn rustls(folder: &Path, tickets: usize) -> u16 {
    let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem"));
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("a certificate")], key)
        .expect("a certificate with its key");
    config.send_tls13_tickets = tickets;
    config.ticketer = rustls::crypto::ring::Ticketer::new().expect("a ticketer");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            // A client that leaves early ends it with an error, which is nobody's.
            std::thread::spawn(move || serve(socket, config));
        }
    });
    port
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let tls = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(tls, socket);
    let (mut request, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    while !super::is_complete(&request) {
        let read = stream.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..read]);
    }
    let text = String::from_utf8_lossy(&request);
    let number = |name: &str| -> u64 {
        let value = text.split(name).nth(1).unwrap_or_default();
        let digits = value.find(|one: char| !one.is_ascii_digit()).unwrap_or(value.len());
        value[..digits].parse().unwrap_or_default()
    };
    std::thread::sleep(Duration::from_millis(number("delay_ms=")));
    let body = vec![b'x'; number("&bytes=") as usize];
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nx-noted: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        now_ns(),
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    stream.write_all(&answer)?;
    stream.conn.send_close_notify();
    stream.flush()
}
