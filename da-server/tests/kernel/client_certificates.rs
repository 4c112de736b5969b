//! Servers that ask for a certificate of the client's: in TLS 1.3 it goes before the client's Finished, and
//! looks as a request does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use da_server::kernel::{ExchangeOutcome, Unlisted, What};
use da_testkit::programs::are_there;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::lab::{Lab, endpoint};
use crate::plain;

const NAME: &str = "mutual.kernel.test";
const LABELS: &str = "kind=\"llm\",provider=\"mutual\"";
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/programs/mutual_tls.py");
const REQUESTS: usize = 3;

/// A server by OpenSSL.
struct Server {
    folder: PathBuf,
    port: u16,
    program: Child,
}

impl Server {
    /// `test` tells its files from those of others.
    fn start(test: &str) -> Self {
        let folder = format!("{test}-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let own = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).expect("a certificate");
        std::fs::write(folder.join("certificate.pem"), own.cert.pem()).expect("writes");
        std::fs::write(folder.join("key.pem"), own.signing_key.serialize_pem()).expect("writes");
        let mut program =
            command("serve", &folder).stdout(Stdio::piped()).spawn().expect("python3");
        let mut line = String::new();
        BufReader::new(program.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
        Self { port: line.trim().parse().expect("a port"), folder, program }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and a status would tell nothing.
        let _ = self.program.kill();
        let _ = self.program.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn command(role: &str, folder: &Path) -> Command {
    let mut command = Command::new("python3");
    command.arg(PROGRAM).arg(role).arg(folder.join("certificate.pem")).arg(folder.join("key.pem"));
    command
}

/// Bytes of each request, and how each exchange went.
fn exchanges(lab: Lab) -> Vec<(u64, ExchangeOutcome)> {
    let exchange = |what| match what {
        What::Exchange(seen) => Some((seen.request_bytes, seen.measured.outcome)),
        _ => None,
    };
    lab.close().into_iter().filter_map(|one| exchange(one.what)).collect()
}

fn handshakes(lab: &Lab) -> f64 {
    lab.value(&format!("digital_actors_socket_tls_handshake_seconds_count{{{LABELS}}}"))
}

#[test]
fn a_certificate_is_no_request() {
    if !are_there(&["python3"]) {
        return;
    }
    let Some(mut lab) = Lab::open(&[endpoint("mutual", NAME)], Unlisted::Drop) else { return };
    let server = Server::start("certificate");
    let (port, requests) = (server.port.to_string(), REQUESTS.to_string());
    let mut client = command("ask", &server.folder)
        .args([NAME, &port, &requests])
        .stdin(Stdio::null())
        .spawn()
        .expect("python3");
    lab.follow(client.id());
    assert!(client.wait().expect("it ends").success());
    lab.wait_closed(1);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    assert_eq!(handshakes(&lab), 1.0);
    // Each in one record.
    let bytes = plain::request(NAME).len() as u64 + 22;
    assert_eq!(exchanges(lab), [(bytes, ExchangeOutcome::Ok); REQUESTS]);
}

/// rustls puts its certificate and what follows into one record, where its Finished does not show.
#[test]
fn what_follows_a_finished_that_does_not_show_has_no_times() {
    if !are_there(&["python3"]) {
        return;
    }
    let Some(mut lab) = Lab::open(&[endpoint("mutual", NAME)], Unlisted::Drop) else { return };
    let server = Server::start("hidden");
    let pem = server.folder.join("certificate.pem");
    let certificate = CertificateDer::from_pem_file(pem).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(server.folder.join("key.pem")).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .expect("a certificate with its key");
    let socket = TcpStream::connect(("127.0.0.1", server.port)).expect("connects");
    socket.set_nodelay(true).expect("no delay");
    let name = NAME.try_into().expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a TLS client");
    let mut stream = StreamOwned::new(tls, socket);
    for _ in 0..REQUESTS {
        stream.write_all(&plain::request(NAME)).expect("writes");
        stream.read_exact(&mut [0; plain::RESPONSE.len()]).expect("reads");
    }
    drop(stream);
    lab.wait_closed(1);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    assert_eq!(handshakes(&lab), 0.0, "where it ended is not known");
    let exchanges = exchanges(lab);
    assert!(!exchanges.is_empty());
    let ambiguous = |(_, outcome): &(u64, ExchangeOutcome)| *outcome == ExchangeOutcome::Ambiguous;
    assert!(exchanges.iter().all(ambiguous), "{exchanges:?}");
}
