//! Which pages may open a WebSocket: browsers let any page try, and say which one it was.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};

/// Whether the page that asks is the server's own or one that the operator allows. A client that
/// names no page is no browser, and could name any.
pub(super) fn is_allowed(headers: &HeaderMap, listen: IpAddr, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
        || is_own(origin, headers, listen).unwrap_or(false)
}

/// Same host and port. The scheme is left out: a proxy in front may speak TLS for us.
///
/// A server that listens on a loopback address is its own only under a name of this machine:
/// anyone's DNS may say that `evil.example` is 127.0.0.1 (DNS rebinding), and a browser then sends
/// that name as host and origin alike.
fn is_own(origin: &str, headers: &HeaderMap, listen: IpAddr) -> Option<bool> {
    let origin: Uri = origin.parse().ok()?;
    let default_port = match origin.scheme_str()? {
        "https" => 443,
        _ => 80,
    };
    let host: Uri = headers.get(header::HOST)?.to_str().ok()?.parse().ok()?;
    let same_host = origin.host()?.eq_ignore_ascii_case(host.host()?);
    let port = |uri: &Uri| uri.port_u16().unwrap_or(default_port);
    let is_ours = !listen.is_loopback() || is_this_machine(host.host()?);
    Some(is_ours && same_host && port(&origin) == port(&host))
}

/// `localhost` or a loopback address, which no DNS server has a say in.
fn is_this_machine(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const EVERYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn allows(listen: IpAddr, origin: &str, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().expect("header"));
        headers.insert(header::HOST, host.parse().expect("header"));
        is_allowed(&headers, listen, &["https://friend.example".to_owned()])
    }

    #[test]
    fn the_own_page_is_allowed() {
        for listen in [LOOPBACK, EVERYWHERE] {
            assert!(allows(listen, "http://localhost:8888", "localhost:8888"));
            assert!(allows(listen, "http://127.0.0.1:8888", "127.0.0.1:8888"));
            assert!(allows(listen, "http://127.0.1.1:8888", "127.0.1.1:8888"));
            assert!(allows(listen, "http://[::1]:8888", "[::1]:8888"));
        }
        assert!(allows(EVERYWHERE, "https://Game.example", "game.example"), "behind a proxy");
        assert!(allows(EVERYWHERE, "https://game.example", "game.example:443"));
    }

    #[test]
    fn a_name_that_points_at_loopback_is_not_its_own() {
        for host in
            ["evil.example:8888", "127.0.0.1.evil.example:8888", "localhost.evil.example:8888"]
        {
            let origin = format!("http://{host}");
            assert!(!allows(LOOPBACK, &origin, host), "{host}");
            assert!(!allows(Ipv6Addr::LOCALHOST.into(), &origin, host), "{host}");
            assert!(allows(EVERYWHERE, &origin, host), "{host} may be its name in the world");
        }
        assert!(!allows(LOOPBACK, "http://192.0.2.1:8888", "192.0.2.1:8888"));
        assert!(allows(LOOPBACK, "https://friend.example", "friend.example"), "a local proxy");
    }

    #[test]
    fn other_pages_are_refused_unless_listed() {
        assert!(allows(EVERYWHERE, "https://friend.example", "game.example"));
        for origin in [
            "https://evil.example",
            "http://localhost:9999",
            "http://localhost",
            "https://game.example.evil.example",
            "https://friend.example.evil.example",
            "null",
            "",
        ] {
            for host in ["localhost:8888", "game.example"] {
                assert!(!allows(EVERYWHERE, origin, host), "{origin}");
            }
        }
    }

    #[test]
    fn who_names_no_page_is_no_browser() {
        assert!(is_allowed(&HeaderMap::new(), LOOPBACK, &[]));
    }
}
