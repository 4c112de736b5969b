//! Whom a proxy is asked for, and how names are compared.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest DNS name, RFC 1035 §2.3.4.
const MAX_NAME_BYTES: usize = 253;

/// What a proxy is asked to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A host, in lower case, and its port.
    Host(String, u16),
    /// An address, not v4-mapped.
    Address(SocketAddr),
}

impl Target {
    /// Reads `host:port`; without a port, that of the scheme is meant.
    pub fn read(authority: &str, scheme_port: u16) -> Option<Self> {
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of an address in brackets is one of its own.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, scheme_port),
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match bare.unwrap_or(host).parse::<IpAddr>() {
            Ok(address) => Some(Self::at(address, port)),
            Err(_) => normalized(host).map(|name| Self::Host(name, port)),
        }
    }

    /// An address as sockets show it once they are connected there.
    pub fn at(address: IpAddr, port: u16) -> Self {
        let loopback = match address.to_canonical() {
            IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            other => other,
        };
        Self::Address(SocketAddr::new(loopback, port))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Host(_, port) => *port,
            Self::Address(address) => address.port(),
        }
    }
}

/// Without port and trailing dot, in lower case; none for an address literal.
pub fn normalized(host: &str) -> Option<String> {
    let host = host.trim();
    if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let name = host.split_once(':').map_or(host, |(name, _port)| name);
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.parse::<IpAddr>().is_err();
    plain.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_or_an_address_with_a_port() {
        for (authority, target) in [
            ("API.example.com:8443", Some(Target::Host("api.example.com".into(), 8443))),
            ("a.example.", Some(Target::Host("a.example".into(), 443))),
            ("10.0.0.5:8443", Some(Target::Address(([10, 0, 0, 5], 8443).into()))),
            ("[::ffff:10.0.0.5]:8443", Some(Target::Address(([10, 0, 0, 5], 8443).into()))),
            ("[::1]", Some(Target::Address("[::1]:443".parse().expect("address")))),
            ("0.0.0.0:1", Some(Target::Address(([127, 0, 0, 1], 1).into()))),
            ("a.example:port", None),
            ("", None),
        ] {
            assert_eq!(Target::read(authority, 443), target, "{authority}");
        }
    }
}
