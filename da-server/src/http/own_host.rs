//! Under which names a listener on loopback answers.
//!
//! Anyone's DNS may say that `evil.example` is 127.0.0.1 (DNS rebinding): a page from there is then of
//! the same origin as everything on that address, and may read it. Browsers send the name as `Host`. So
//! where only this machine can connect, only a name of this machine is answered, or one that the operator
//! lists since a proxy on the same machine hands it on.
//!
//! The host's own name is one of them: many systems have it in `/etc/hosts` as a loopback address, and a
//! Prometheus on the same machine may scrape by it. A page whose name it is comes from this machine.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use super::ApiError;

/// `routes`, which answer under names of this machine alone if they are served at a loopback address.
/// `allowed` are origins, as `https://game.example`, whose names are the server's own, too.
pub(super) fn require(routes: Router, listen: SocketAddr, allowed: &[String]) -> Router {
    if !listen.ip().is_loopback() {
        return routes;
    }
    let listed = allowed.iter().filter_map(|origin| host_of(origin));
    let allowed: Arc<[String]> = listed.chain(name_of_this_host()).collect();
    routes.layer(from_fn(move |request: Request, next: Next| {
        let allowed = allowed.clone();
        async move {
            match is_own(&request, &allowed) {
                true => next.run(request).await,
                false => refuse(),
            }
        }
    }))
}

fn refuse() -> Response {
    ApiError::host_refused().into_response()
}

/// A client that sends no host is no browser.
fn is_own(request: &Request, allowed: &[String]) -> bool {
    // HTTP/2 sends it as a part of the address.
    let of_address = request.uri().host();
    let of_header = request.headers().get(header::HOST);
    let of_header = match of_header.map(|host| host.to_str().ok().and_then(host_of)) {
        None => None,
        Some(Some(host)) => Some(host),
        Some(None) => return false,
    };
    let is_own = |host: &str| {
        // A name may end in the dot of the DNS's root.
        let host = host.strip_suffix('.').unwrap_or(host);
        is_this_machine(host) || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    };
    of_address.is_none_or(is_own) && of_header.as_deref().is_none_or(is_own)
}

/// The host of `https://game.example:443`, and of `game.example:443`.
fn host_of(origin: &str) -> Option<String> {
    origin.parse::<Uri>().ok()?.host().map(str::to_owned)
}

/// As `hostname` says it; none where the kernel does not tell.
fn name_of_this_host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim_end();
    // What a host is called before it is given a name.
    (!name.is_empty() && name != "(none)").then(|| name.to_owned())
}

/// What systems call loopback in `/etc/hosts`. Nobody can have such a name in the DNS: it has one label.
const NAMES: [&str; 3] = ["localhost", "ip6-localhost", "ip6-loopback"];

/// A name of loopback, one below `localhost` (RFC 6761, section 6.3) or a loopback address, which no DNS
/// server has a say in.
fn is_this_machine(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let top = host.rsplit_once('.').map_or("", |(_, top)| top);
    NAMES.iter().any(|name| host.eq_ignore_ascii_case(name))
        || top.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn answers(host: &str) -> bool {
        let request = Request::builder().uri("/metrics").header(header::HOST, host);
        let request = request.body(Body::empty()).expect("a request");
        is_own(&request, &[host_of("https://Game.example").expect("a host")])
    }

    #[test]
    fn names_of_this_machine_are_its_own() {
        for host in [
            "localhost",
            "LocalHost:8888",
            "localhost.",
            "localhost.:8888",
            "game.localhost",
            "Game.LocalHost.:8888",
            "ip6-localhost:8888",
            "ip6-loopback",
            "127.0.0.1:8888",
            "127.9.9.9",
            "[::1]:8888",
        ] {
            assert!(answers(host), "{host}");
        }
        for host in ["game.example", "game.example:443", "GAME.EXAMPLE", "game.example.:443"] {
            assert!(answers(host), "{host} is listed");
        }
    }

    #[test]
    fn a_name_that_points_at_loopback_is_not() {
        for host in [
            "evil.example:8888",
            "127.0.0.1.evil.example:8888",
            "localhost.evil.example",
            "evillocalhost",
            "ip6-localhost.evil.example",
            "evil.game.example",
            ".",
            "..",
            "192.0.2.1:8888",
            "[2001:db8::1]",
            "",
            "/",
        ] {
            assert!(!answers(host), "{host}");
        }
    }

    #[test]
    fn the_host_has_a_name() {
        let name = name_of_this_host().expect("a name");
        assert!(!name.contains(char::is_whitespace), "{name:?}");
        assert!(
            !is_this_machine(&name) || name.contains("localhost"),
            "{name} is asked for in tests"
        );
    }

    #[test]
    fn the_name_within_an_address_counts() {
        let asks = |uri: &str| {
            let request = Request::builder().uri(uri).body(Body::empty()).expect("a request");
            is_own(&request, &[])
        };
        assert!(asks("/metrics"), "no browser");
        assert!(asks("https://localhost:9464/metrics"));
        assert!(!asks("https://evil.example:9464/metrics"));
    }
}
