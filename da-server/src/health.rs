//! `da-server health`: whether a server of this configuration serves, asked as anyone may.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::config::Config;
use crate::provider::{HttpConfig, http_client};

/// Whoever asks this way asks again soon.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

/// What the server at `listen` says of itself at `/health`.
///
/// # Errors
/// Nobody answers there in time, or not with 200.
pub async fn ask(config: &Config) -> anyhow::Result<String> {
    let address = reachable(config.listen);
    // With an address given for the name no proxy of the environment is asked.
    let resolve = [("localhost".to_owned(), address)].into();
    let http = http_client(&HttpConfig { resolve, ..HttpConfig::default() })?;
    let url = format!("http://localhost:{}/health", address.port());
    let nobody = || format!("no server answers at {address}");
    let response = http.get(url).timeout(RESPONSE_TIMEOUT).send().await.with_context(nobody)?;
    let status = response.status();
    let body = response.text().await.with_context(nobody)?;
    ensure!(status.is_success(), "{address} answered {status}: {body}");
    Ok(body)
}

/// Where a listener on every address can be asked from this host.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8888", "127.0.0.1:8888"),
            ("[::]:8888", "[::1]:8888"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            assert_eq!(reachable(listen.parse().expect("address")), asked.parse().expect("one"));
        }
    }
}
