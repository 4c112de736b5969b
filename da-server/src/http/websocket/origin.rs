//! Which pages may open a WebSocket: browsers let any page try, and say which one it was.

use axum::http::{HeaderMap, Uri, header};

/// Whether the page that asks is the server's own or one that the operator allows. A client that
/// names no page is no browser, and could name any.
pub(super) fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
        || is_own(origin, headers).unwrap_or(false)
}

/// Same host and port. The scheme is left out: a proxy in front may speak TLS for us.
fn is_own(origin: &str, headers: &HeaderMap) -> Option<bool> {
    let origin: Uri = origin.parse().ok()?;
    let default_port = match origin.scheme_str()? {
        "https" => 443,
        _ => 80,
    };
    let host: Uri = headers.get(header::HOST)?.to_str().ok()?.parse().ok()?;
    let same_host = origin.host()?.eq_ignore_ascii_case(host.host()?);
    let port = |uri: &Uri| uri.port_u16().unwrap_or(default_port);
    Some(same_host && port(&origin) == port(&host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(origin: &str, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().expect("header"));
        headers.insert(header::HOST, host.parse().expect("header"));
        is_allowed(&headers, &["https://friend.example".to_owned()])
    }

    #[test]
    fn the_own_page_is_allowed() {
        assert!(allows("http://localhost:8888", "localhost:8888"));
        assert!(allows("http://127.0.0.1:8888", "127.0.0.1:8888"));
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
            assert!(
                !allows(origin, "localhost:8888") && !allows(origin, "game.example"),
                "{origin}"
            );
        }
    }

    #[test]
    fn who_names_no_page_is_no_browser() {
        assert!(is_allowed(&HeaderMap::new(), &[]));
    }
}
