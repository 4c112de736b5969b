//! A blocking HTTP/1.1 client over rustls that tells when its reads returned.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Result, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// TLS 1.3 that trusts the certificate authority in `ca_pem`; no resumption.
pub fn tls13(ca_pem: &str) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// One connection.
pub struct Client {
    tls: Option<ClientConnection>,
    socket: TcpStream,
    host: String,
    /// The client's end.
    pub local: SocketAddr,
}

impl Client {
    /// Connects, and shakes hands where there is a `config`.
    pub fn connect(to: SocketAddr, host: &str, config: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let mut socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        let local = socket.local_addr()?;
        let tls = match config {
            None => None,
            Some(config) => {
                let name = host.to_owned().try_into()?;
                let mut tls = ClientConnection::new(Arc::clone(config), name)?;
                while tls.is_handshaking() {
                    tls.complete_io(&mut socket)?;
                }
                Some(tls)
            }
        };
        Ok(Self { tls, socket, host: host.to_owned(), local })
    }

    /// One streamed answer that the stand-in gives by `plan` (JSON), and when the read returned that
    /// brought its first bytes, ns of `CLOCK_MONOTONIC`.
    pub fn exchange(&mut self, plan: &str) -> Result<u64> {
        self.send(&request(&self.host, plan))?;
        let mut first_read_ns = 0;
        let mut response = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while !response.ends_with(b"0\r\n\r\n") {
            let read = self.read(&mut buffer)?;
            if first_read_ns == 0 {
                first_read_ns = da_standin::now_ns();
            }
            ensure!(read > 0, "the connection closed before the answer's end");
            response.extend_from_slice(&buffer[..read]);
        }
        ensure!(response.starts_with(b"HTTP/1.1 200"), "the stand-in refused");
        Ok(first_read_ns)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.socket.write_all(bytes) };
        tls.writer().write_all(bytes)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.socket).read(buffer),
            None => self.socket.read(buffer),
        }
    }
}

fn request(host: &str, plan: &str) -> Vec<u8> {
    let body = r#"{"model":"m","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"Ahoy"}]}"#;
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: {host}\r\nx-api-key: none\r\n\
         anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n\
         x-standin-plan: {plan}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
