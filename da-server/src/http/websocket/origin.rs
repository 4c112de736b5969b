//! Which pages may open a WebSocket: browsers let any page try, and say which one it was.

use axum::http::{HeaderMap, HeaderName, Uri, header};

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether the page that asks is the server's own or one that the operator allows. A client that
/// names no page is no browser, and could name any.
pub(super) fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
        || is_own(origin, headers).unwrap_or(false)
}

/// Same host and port. The scheme is left out: a proxy in front may speak TLS for us. Whether the host
/// is one of ours was seen to before ([`crate::http::own_host`]).
fn is_own(origin: &str, headers: &HeaderMap) -> Option<bool> {
    let origin: Uri = origin.parse().ok()?;
    let default_port = match origin.scheme_str()? {
        "https" => 443,
        _ => 80,
    };
    let host: Uri = asked_for(headers)?.parse().ok()?;
    let same_host = origin.host()?.eq_ignore_ascii_case(host.host()?);
    let port = |uri: &Uri| uri.port_u16().unwrap_or(default_port);
    Some(same_host && port(&origin) == port(&host))
}

/// The host that the browser asked for. A proxy that asks us for another one says it in
/// `X-Forwarded-Host`; of several, the first was asked by the browser. Nobody need be trusted for that: a
/// page can set no header of a WebSocket, and whoever is no page could name any origin. Where it is there,
/// `Host` does not count: the proxy asks for `localhost`, which a page on the player's machine may be of.
fn asked_for(headers: &HeaderMap) -> Option<&str> {
    match headers.get(FORWARDED_HOST) {
        Some(hosts) => hosts.to_str().ok()?.split(',').next().map(str::trim),
        None => headers.get(header::HOST)?.to_str().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows_through(origin: &str, asked_for: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().expect("header"));
        headers.insert(header::HOST, "localhost".parse().expect("header"));
        headers.insert(FORWARDED_HOST, asked_for.parse().expect("header"));
        is_allowed(&headers, &[])
    }

    #[test]
    fn a_proxy_says_whom_the_browser_asked_for() {
        for asked_for in ["game.example", "Game.example:443", "game.example, inner:8080"] {
            assert!(allows_through("https://game.example", asked_for), "{asked_for}");
        }
        assert!(allows_through("https://game.example:8443", "game.example:8443"));
        for asked_for in ["", ",game.example", "inner, game.example", "game.example:8443", "/"] {
            assert!(!allows_through("https://game.example", asked_for), "{asked_for}");
        }
        assert!(!allows_through("https://evil.example", "game.example"));
        assert!(
            !allows_through("http://localhost", "game.example"),
            "a page of the player's machine"
        );
    }

    fn allows(origin: &str, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().expect("header"));
        headers.insert(header::HOST, host.parse().expect("header"));
        is_allowed(&headers, &["https://friend.example".to_owned()])
    }

    #[test]
    fn the_own_page_is_allowed() {
        assert!(allows("http://localhost:8888", "localhost:8888"));
        assert!(allows("http://[::1]:8888", "[::1]:8888"));
        assert!(allows("https://Game.example", "game.example"), "behind a proxy");
        assert!(allows("https://game.example", "game.example:443"));
    }

    #[test]
    fn other_pages_are_refused_unless_listed() {
        assert!(allows("https://friend.example", "game.example"));
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
                assert!(!allows(origin, host), "{origin}");
            }
        }
    }

    #[test]
    fn who_names_no_page_is_no_browser() {
        assert!(is_allowed(&HeaderMap::new(), &[]));
    }
}
