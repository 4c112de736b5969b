//! The host a client says it wants, read from the first bytes it sent.

use tls_parser::{
    TlsExtension, TlsMessage, TlsMessageHandshake, parse_tls_client_hello_extensions,
    parse_tls_plaintext,
};

use super::target::{Target, normalized};
use crate::kernel::interleaving::Interleaving;

/// HTTP headers looked at.
const MAX_HEADERS: usize = 64;
/// What HTTP/2 begins with, as far as it is in one line: RFC 9113 §3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// What the first bytes of a connection tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// A TLS ClientHello.
    Tls {
        /// SNI, RFC 6066 §3; lower case.
        server_name: Option<String>,
        /// As ALPN has it, RFC 7301.
        interleaving: Interleaving,
        /// Offers HTTP/1.1 by ALPN.
        offers_http1: bool,
        /// Sends its first request ahead of the handshake (0-RTT), RFC 8446 §4.2.10.
        sends_early: bool,
    },
    /// An HTTP/1 request.
    Http {
        /// `Host`, RFC 9110 §7.2; without port, lower case.
        host: Option<String>,
        /// Asks a proxy: it has an absolute target, RFC 9112 §3.2.2, or at any rate none that begins as
        /// a path.
        is_to_proxy: bool,
        /// What the proxy is asked for: that target's authority, if it can be read.
        proxied: Option<Target>,
        /// Asks for another protocol (WebSocket, HTTP/2): RFC 9110 §7.8.
        upgrades: bool,
    },
    /// HTTP/2 in the clear. Its names are compressed.
    Http2,
    /// A proxy is asked for a tunnel: what counts comes behind it. RFC 9110 §9.3.6.
    Tunnel {
        /// Where the tunnel leads.
        to: Option<Target>,
    },
    /// Some other protocol.
    Unknown,
    /// It begins as a ClientHello, but can't be read: cut off, or malformed.
    Unparsable,
}

impl Opening {
    /// Reads the first bytes of a connection.
    pub fn read(payload: &[u8]) -> Self {
        match payload.first() {
            Some(0x16) => client_hello(payload).unwrap_or(Self::Unparsable),
            Some(_) => http(payload),
            None => Self::Unknown,
        }
    }

    /// The name to attribute by; none where the client named an address or nothing.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Tls { server_name: name, .. } | Self::Http { host: name, .. } => name.as_deref(),
            Self::Tunnel { .. } | Self::Http2 | Self::Unknown | Self::Unparsable => None,
        }
    }

    /// The name, where whoever is at the connection's other end is asked for it: no proxy.
    pub fn name_at_its_address(&self) -> Option<&str> {
        match self {
            Self::Http { is_to_proxy: true, .. } => None,
            other => other.name(),
        }
    }

    /// Whether a proxy is asked by this very request, and if so for what.
    pub fn proxied(&self) -> Option<Option<&Target>> {
        match self {
            Self::Http { is_to_proxy: true, proxied, .. } => Some(proxied.as_ref()),
            _ => None,
        }
    }

    /// Whether it is HTTP/1, unless HTTP/2 is spoken in its place.
    pub fn is_http1(&self) -> bool {
        match self {
            Self::Tls { offers_http1, .. } => *offers_http1,
            Self::Http { .. } => true,
            Self::Tunnel { .. } | Self::Http2 | Self::Unknown | Self::Unparsable => false,
        }
    }

    /// Whether exchanges may be carried side by side.
    pub fn interleaving(&self) -> Interleaving {
        match self {
            Self::Tls { interleaving, .. } => *interleaving,
            Self::Unparsable => Interleaving::Offered,
            Self::Http2 | Self::Http { upgrades: true, .. } => Interleaving::Certain,
            Self::Http { .. } | Self::Tunnel { .. } | Self::Unknown => Interleaving::No,
        }
    }
}

fn client_hello(payload: &[u8]) -> Option<Opening> {
    let (_, record) = parse_tls_plaintext(payload).ok()?;
    let hello = record.msg.iter().find_map(|message| match message {
        TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)) => Some(hello),
        _ => None,
    })?;
    let (mut server_name, mut interleaving) = (None, Interleaving::No);
    let (mut offers_http1, mut sends_early) = (false, false);
    let extensions = match hello.ext {
        Some(bytes) => parse_tls_client_hello_extensions(bytes).ok()?.1,
        None => Vec::new(),
    };
    for extension in extensions {
        match extension {
            TlsExtension::SNI(names) => {
                let first = names.first().and_then(|(_, name)| std::str::from_utf8(name).ok());
                server_name = first.and_then(normalized);
            }
            TlsExtension::ALPN(protocols) => {
                interleaving = of_alpn(&protocols);
                offers_http1 = protocols.contains(&b"http/1.1".as_slice());
            }
            TlsExtension::EarlyData(_) => sends_early = true,
            _ => {}
        }
    }
    Some(Opening::Tls { server_name, interleaving, offers_http1, sends_early })
}

fn of_alpn(protocols: &[&[u8]]) -> Interleaving {
    match protocols.iter().filter(|protocol| **protocol == b"h2").count() {
        0 => Interleaving::No,
        http2 if http2 == protocols.len() => Interleaving::Certain,
        _ => Interleaving::Offered,
    }
}

fn http(payload: &[u8]) -> Opening {
    if payload.starts_with(HTTP2_PREFACE) {
        return Opening::Http2;
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    // An incomplete head will do: `Host` comes early.
    if request.parse(payload).is_err() || request.method.is_none() {
        return Opening::Unknown;
    }
    if request.method == Some("CONNECT") {
        return Opening::Tunnel { to: request.path.and_then(|path| Target::read(path, 443)) };
    }
    let named = |name| request.headers.iter().find(|one| one.name.eq_ignore_ascii_case(name));
    let host = named("host").and_then(|header| std::str::from_utf8(header.value).ok());
    let path = request.path.unwrap_or("/");
    let authority = [("http://", 80), ("https://", 443)].into_iter().find_map(|(scheme, port)| {
        let (begin, rest) = path.split_at_checked(scheme.len())?;
        let authority = rest.split(['/', '?']).next()?;
        begin.eq_ignore_ascii_case(scheme).then_some((authority, port))
    });
    Opening::Http {
        host: host.and_then(normalized),
        is_to_proxy: !path.starts_with('/') && path != "*",
        proxied: authority.and_then(|(authority, port)| Target::read(authority, port)),
        upgrades: named("upgrade").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A ClientHello as rustls writes it.
    fn hello(name: &'static str, alpn: &[&[u8]]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let name = name.try_into().expect("name");
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("client");
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("hello");
        bytes
    }

    #[test]
    fn the_server_name_of_a_client_hello() {
        let opening = Opening::read(&hello("API.example.com", &[b"h2", b"http/1.1"]));
        assert_eq!(opening.name(), Some("api.example.com"));
        assert!(matches!(opening, Opening::Tls { sends_early: false, .. }));
    }

    #[test]
    fn alpn_tells_what_may_be_spoken() {
        let of = |alpn: &[&[u8]]| Opening::read(&hello("a.example", alpn)).interleaving();
        let is_http1 = |alpn: &[&[u8]]| Opening::read(&hello("a.example", alpn)).is_http1();
        assert!(is_http1(&[b"h2", b"http/1.1"]) && !is_http1(&[b"h2"]) && !is_http1(&[]));
        assert_eq!(of(&[]), Interleaving::No);
        assert_eq!(of(&[b"http/1.1"]), Interleaving::No);
        assert_eq!(of(&[b"h2", b"http/1.1"]), Interleaving::Offered);
        assert_eq!(of(&[b"h2"]), Interleaving::Certain);
    }

    #[test]
    fn what_interleaves_in_the_clear() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\xff\xff";
        assert_eq!(Opening::read(preface), Opening::Http2);
        assert_eq!(Opening::Http2.interleaving(), Interleaving::Certain);
        let websocket =
            b"GET /v1/realtime HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\r\n";
        let opening = Opening::read(websocket);
        assert_eq!(opening.name(), Some("a.example"));
        assert_eq!(opening.interleaving(), Interleaving::Certain);
        let plain = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        assert_eq!(Opening::read(plain).interleaving(), Interleaving::No);
    }

    #[test]
    fn an_address_is_no_name() {
        assert_eq!(Opening::read(&hello("127.0.0.1", &[])).name(), None);
        for host in ["127.0.0.1:80", "[::1]:80", "::1", ""] {
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let without =
                Opening::Http { host: None, is_to_proxy: false, proxied: None, upgrades: false };
            assert_eq!(Opening::read(request.as_bytes()), without, "{host}");
        }
    }

    #[test]
    fn a_cut_off_hello_is_told_from_another_protocol() {
        let bytes = hello("a.example", &[]);
        assert_eq!(Opening::read(&bytes[..bytes.len() - 1]), Opening::Unparsable);
        assert_eq!(Opening::read(b"\x00\x00\x00\x08\x04\xd2\x16\x2f"), Opening::Unknown);
        assert_eq!(Opening::read(b""), Opening::Unknown);
    }

    #[test]
    fn the_host_of_a_request_even_of_an_incomplete_one() {
        let whole =
            b"POST /v1 HTTP/1.1\r\naccept: */*\r\nhOsT: LLM.example.:8080\r\nx: y\r\n\r\nbody";
        assert_eq!(Opening::read(whole).name(), Some("llm.example"));
        let cut = &whole[..whole.len() - 12];
        assert_eq!(Opening::read(cut).name(), Some("llm.example"));
    }

    #[test]
    fn a_tunnel_leads_to_its_host() {
        let opening = Opening::read(b"CONNECT API.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n");
        let to = Some(Target::Host("api.example.com".into(), 443));
        assert_eq!(opening, Opening::Tunnel { to });
    }

    #[test]
    fn a_request_to_a_proxy_names_whom_it_is_for() {
        for (asked, target) in [
            ("http://a.example/v1", Some(Target::Host("a.example".into(), 80))),
            ("HTTP://a.example:8000?x=/", Some(Target::Host("a.example".into(), 8000))),
            ("http://10.0.0.5:8000/v1", Some(Target::Address(([10, 0, 0, 5], 8000).into()))),
            ("https://a.example/v1", Some(Target::Host("a.example".into(), 443))),
            ("http://", None),
            ("ftp://a.example/", None),
        ] {
            let request = format!("POST {asked} HTTP/1.1\r\nHost: b.example\r\n\r\n");
            let opening = Opening::read(request.as_bytes());
            assert_eq!(opening.proxied(), Some(target.as_ref()), "{asked}");
            assert_eq!(opening.name_at_its_address(), None, "the address is the proxy's: {asked}");
        }
        let direct =
            Opening::read(b"POST /v1?http://a.example HTTP/1.1\r\nHost: b.example\r\n\r\n");
        assert_eq!(direct.proxied(), None);
        assert_eq!(direct.name_at_its_address(), Some("b.example"));
    }
}
