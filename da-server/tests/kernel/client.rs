//! A blocking HTTP/1.1 client over rustls that controls what shares a write.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use da_standin::now_ns;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::tcp_info;

/// TLS of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    None,
    V12,
    V13,
}

/// Client configuration that trusts `ca_pem` and speaks one version; no resumption.
pub fn config(ca_pem: &str, tls: Tls) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.expect("a certificate")).expect("a root");
    }
    let versions: &[&'static SupportedProtocolVersion] = match tls {
        Tls::V12 => &[&rustls::version::TLS12],
        Tls::V13 | Tls::None => &[&rustls::version::TLS13],
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Just before something was done and just after it, ns of the monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    pub from_ns: u64,
    pub to_ns: u64,
}

/// One connection.
pub struct Client {
    tls: Option<ClientConnection>,
    socket: TcpStream,
    /// The client's end: what the stand-in's log calls the peer.
    pub local: SocketAddr,
    /// connect().
    pub connect: Span,
    /// The write of the ClientHello.
    pub hello: Span,
    /// When the handshake was done and its last flight written, ns.
    pub shaken_ns: u64,
    /// The latest write, or writes, of [`Self::send`].
    pub send: Span,
    /// When the read that brought the first byte of the latest response returned, ns.
    pub first_read_ns: u64,
    /// When the latest read of a response returned, ns.
    pub last_read_ns: u64,
}

impl Client {
    /// Connects; the ClientHello is not sent yet.
    pub fn connect(to: SocketAddr, name: &str, config: Option<&Arc<ClientConfig>>) -> Self {
        let mut connect = Span { from_ns: now_ns(), to_ns: 0 };
        let socket = TcpStream::connect(to).expect("connects");
        connect.to_ns = now_ns();
        socket.set_nodelay(true).expect("no delay");
        let tls = config.map(|config| {
            let name = name.to_owned().try_into().expect("a name");
            let mut tls = ClientConnection::new(Arc::clone(config), name).expect("a TLS client");
            tls.set_buffer_limit(None); // requests of any length
            tls
        });
        let local = socket.local_addr().expect("an address");
        let (hello, send) = (Span::default(), Span::default());
        let (shaken_ns, first_read_ns, last_read_ns) = (0, 0, 0);
        Self { tls, socket, local, connect, hello, shaken_ns, send, first_read_ns, last_read_ns }
    }

    /// Sends the ClientHello, and waits for nothing.
    pub fn say_hello(&mut self) {
        self.tls.as_mut().expect("TLS").write_tls(&mut self.socket).expect("writes");
    }

    /// Completes the handshake, in writes of its own.
    pub fn handshake(&mut self) -> std::io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        self.hello.from_ns = now_ns();
        tls.write_tls(&mut self.socket)?;
        self.hello.to_ns = now_ns();
        while tls.is_handshaking() {
            tls.complete_io(&mut self.socket)?;
        }
        self.shaken_ns = now_ns();
        Ok(())
    }

    /// Sends the handshake's last flight and a request in one write, as Node does.
    pub fn handshake_and_send(&mut self, request: &[u8]) {
        let tls = self.tls.as_mut().expect("TLS");
        while tls.is_handshaking() {
            // Reading may leave a flight to be written: the last one stays for the request.
            if tls.wants_read() && !tls.wants_write() {
                tls.read_tls(&mut self.socket).expect("reads");
                tls.process_new_packets().expect("TLS");
            } else {
                tls.write_tls(&mut self.socket).expect("writes");
            }
        }
        tls.writer().write_all(request).expect("buffered");
        while tls.wants_write() {
            tls.write_tls(&mut self.socket).expect("writes");
        }
    }

    /// Sends bytes in one write.
    pub fn send(&mut self, bytes: &[u8]) {
        self.send.from_ns = now_ns();
        match &mut self.tls {
            Some(tls) => {
                tls.writer().write_all(bytes).expect("buffered");
                while tls.wants_write() {
                    tls.write_tls(&mut self.socket).expect("writes");
                }
            }
            None => self.socket.write_all(bytes).expect("writes"),
        }
        self.send.to_ns = now_ns();
    }

    /// Reads one response to its end, or to the end of the connection.
    pub fn receive(&mut self) -> Vec<u8> {
        let mut response = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while !complete(&response) {
            let read = match &mut self.tls {
                Some(tls) => rustls::Stream::new(tls, &mut self.socket).read(&mut buffer),
                None => self.socket.read(&mut buffer),
            };
            match read {
                Ok(0) | Err(_) => break,
                Ok(bytes) => {
                    self.last_read_ns = now_ns();
                    if response.is_empty() {
                        self.first_read_ns = self.last_read_ns;
                    }
                    response.extend_from_slice(&buffer[..bytes]);
                }
            }
        }
        response
    }

    /// One request, one response, and to the end of the connection where that was asked for.
    pub fn exchange(&mut self, name: &str, plan: &str, close: bool) -> Vec<u8> {
        self.send(&request(name, plan, close));
        let response = self.receive();
        if close {
            self.until_closed();
        }
        response
    }

    /// Reads until the server has closed: its leave, and that it is gone.
    pub fn until_closed(&mut self) {
        let mut buffer = [0; 1024];
        let mut more = match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.socket).read(&mut buffer),
            None => Ok(1),
        };
        while more.is_ok_and(|bytes| bytes > 0) {
            more = self.socket.read(&mut buffer);
        }
    }

    /// Payload bytes sent and received since the connect, by the kernel's own count; everything
    /// sent must have been acknowledged.
    pub fn transferred(&self) -> (u64, u64) {
        let info = tcp_info::of(&self.socket);
        // The SYN counts as a byte.
        (info.tcpi_bytes_acked - 1, info.tcpi_bytes_received)
    }

    /// Waits until something has come, and leaves it unread.
    pub fn wait_unread(&self) {
        self.socket.peek(&mut [0]).expect("something comes");
    }

    /// Ends the connection without a word.
    pub fn hang_up(self) {
        drop(self.socket);
    }

    /// Ends the connection in order.
    pub fn close(mut self) {
        self.notify_of_close();
    }

    /// Says that it is done, and ends the connection once the server has said so, too.
    pub fn take_leave(mut self) {
        self.notify_of_close();
        self.until_closed();
    }

    fn notify_of_close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // The other side may have closed first.
            let _ = tls.write_tls(&mut self.socket);
        }
    }
}

/// A streamed Messages request that the stand-in answers by `plan` (JSON).
pub fn request(name: &str, plan: &str, close: bool) -> Vec<u8> {
    let body = r#"{"model":"m","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"Ahoy"}]}"#;
    let connection = if close { "connection: close\r\n" } else { "" };
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: {name}\r\nx-api-key: none\r\n\
         anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n{connection}\
         x-standin-plan: {plan}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Whether a response has all its bytes: chunked to its last chunk, or as long as it says.
fn complete(response: &[u8]) -> bool {
    let Some(head) = response.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&response[..head]).to_ascii_lowercase();
    match text.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => response.len() >= head + 4 + length.parse::<usize>().expect("a length"),
        None => response.ends_with(b"0\r\n\r\n"),
    }
}
