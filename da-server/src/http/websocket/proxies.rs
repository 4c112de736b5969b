//! Whether proxies say whom they connect for. Where one doesn't, or isn't believed, all of its players count
//! as one address and are soon turned away, so that is said in the log.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::HeaderMap;

use crate::config::TrustedProxy;
use crate::http::client_address;
use crate::token_bucket::TokenBucket;

/// Anyone can provoke them.
const WARNINGS_PER_MINUTE: u32 = 1;

const NOT_BELIEVED: &str = "X-Forwarded-For comes from an address that websocket.trusted_proxies does not \
    list, and is not believed: if that is a proxy of yours, all of its players count as one address; list it";
const NAMES_NOBODY: &str = "players were turned away since too many come from this address, which \
    websocket.trusted_proxies lists: if it is a proxy's, have it set X-Forwarded-For, or all of its players \
    count as one address";

/// Says so, now and then.
#[derive(Debug)]
pub(super) struct ProxyWarnings(Mutex<TokenBucket>);

impl ProxyWarnings {
    pub(super) fn new(now: Instant) -> Self {
        let capacity = f64::from(WARNINGS_PER_MINUTE);
        Self(Mutex::new(TokenBucket::full(capacity, WARNINGS_PER_MINUTE, now)))
    }

    /// Of somebody who connects from `peer` and counts as `client`, which has too many sessions or starts
    /// if it is `turned_away`.
    pub(super) fn look_at(
        &self,
        (peer, client): (IpAddr, IpAddr),
        headers: &HeaderMap,
        trusted: &[TrustedProxy],
        turned_away: bool,
        now: Instant,
    ) {
        if let Some((address, doubt)) = doubt(peer, client, headers, trusted, turned_away)
            && self.is_due(now)
        {
            tracing::warn!(%address, "{doubt}");
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }
}

fn doubt(
    peer: IpAddr,
    client: IpAddr,
    headers: &HeaderMap,
    trusted: &[TrustedProxy],
    turned_away: bool,
) -> Option<(IpAddr, &'static str)> {
    let peer = peer.to_canonical();
    if headers.contains_key(client_address::FORWARDED_FOR)
        && !client_address::is_trusted(peer, trusted)
    {
        return Some((peer, NOT_BELIEVED));
    }
    (turned_away && client_address::is_trusted(client, trusted)).then_some((client, NAMES_NOBODY))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What is said of one who connects from `peer`, for `client` or for nobody, if 10.0.0.0/8 is trusted.
    fn said(peer: &str, client: Option<&str>, turned_away: bool) -> Option<(String, &'static str)> {
        let mut headers = HeaderMap::new();
        if let Some(client) = client {
            headers
                .insert(client_address::FORWARDED_FOR, client.parse().expect("a header's value"));
        }
        let trusted = [TrustedProxy::try_from("10.0.0.0/8".to_owned()).expect("a network")];
        let peer = peer.parse().expect("an address");
        let client = client_address::client(peer, &headers, &trusted);
        doubt(peer, client, &headers, &trusted, turned_away)
            .map(|(who, why)| (who.to_string(), why))
    }

    #[test]
    fn a_proxy_that_is_not_listed_or_names_nobody_is_spoken_of() {
        let not_believed = Some(("192.0.2.7".to_owned(), NOT_BELIEVED));
        for turned_away in [false, true] {
            assert_eq!(said("192.0.2.7", Some("198.51.100.1"), turned_away), not_believed);
            assert_eq!(said("::ffff:192.0.2.7", Some("198.51.100.1"), turned_away), not_believed);
        }
        assert_eq!(said("10.0.0.5", None, true), Some(("10.0.0.5".to_owned(), NAMES_NOBODY)));
        // A proxy of ours before it, and none of its players.
        assert_eq!(
            said("10.0.0.5", Some("10.0.0.6"), true),
            Some(("10.0.0.6".to_owned(), NAMES_NOBODY))
        );
        for (peer, client, turned_away) in [
            ("10.0.0.5", None, false),
            ("10.0.0.5", Some("198.51.100.1"), true),
            ("192.0.2.7", None, true),
        ] {
            assert_eq!(said(peer, client, turned_away), None, "{peer} {client:?}");
        }
    }

    #[test]
    fn it_is_said_once_a_minute() {
        let now = Instant::now();
        let warnings = ProxyWarnings::new(now);
        let due = |seconds| warnings.is_due(now + Duration::from_secs(seconds));
        assert_eq!((0..100).filter(|second| due(*second)).count(), 2);
    }
}
