//! Who is at the other end of a connection, which may have come through proxies.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName};

use crate::config::TrustedProxy;

/// Whom each proxy was asked by.
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address, for one who connects from `peer` with these headers.
///
/// Each proxy adds to `X-Forwarded-For` whom it was asked by, at the right. So the list is walked from
/// there for as long as who has said so is trusted; what stands further left, any client may have made up.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[TrustedProxy]) -> IpAddr {
    let mut client = peer.to_canonical();
    let lists = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        if !is_trusted(client, trusted) {
            break;
        }
        // What can't be read hides whoever stands before it.
        let Some(before) = address(hop.trim()) else { break };
        client = before.to_canonical();
    }
    client
}

/// Whether a proxy of ours connects from there.
pub(super) fn is_trusted(address: IpAddr, trusted: &[TrustedProxy]) -> bool {
    trusted.iter().any(|proxy| proxy.contains(address))
}

/// With a port or without, an IPv6 address in brackets or without.
fn address(hop: &str) -> Option<IpAddr> {
    if let Ok(address) = hop.parse() {
        return Some(address);
    }
    if let Ok(socket) = hop.parse::<std::net::SocketAddr>() {
        return Some(socket.ip());
    }
    hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_of(peer: &str, lists: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(FORWARDED_FOR, list.parse().expect("a header's value"));
        }
        let trusted: Vec<_> = trusted
            .iter()
            .map(|text| TrustedProxy::try_from((*text).to_owned()).expect("a network"))
            .collect();
        client(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    const PROXIES: [&str; 3] = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"];

    #[test]
    fn a_trusted_proxy_names_the_client() {
        for (lists, client) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1, 10.1.2.3,fd00::7"], "192.0.2.1"),
            (&["192.0.2.1", "10.1.2.3"], "192.0.2.1"),
            (&["10.9.9.9"], "10.9.9.9"),
        ] {
            assert_eq!(client_of("127.0.0.1", lists, &PROXIES), client, "{lists:?}");
            assert_eq!(client_of("::ffff:127.0.0.1", lists, &PROXIES), client, "{lists:?}");
        }
    }

    #[test]
    fn what_a_client_made_up_changes_nothing() {
        for lists in [
            &["203.0.113.9, 192.0.2.1"][..],
            &["10.0.0.1, 192.0.2.1, 10.0.0.2"],
            &["203.0.113.9", "192.0.2.1"],
            &["nonsense, 192.0.2.1"],
        ] {
            assert_eq!(client_of("127.0.0.1", lists, &PROXIES), "192.0.2.1", "{lists:?}");
        }
        assert_eq!(client_of("192.0.2.7", &["203.0.113.9"], &PROXIES), "192.0.2.7");
        assert_eq!(client_of("127.0.0.1", &["203.0.113.9"], &[]), "127.0.0.1");
    }

    #[test]
    fn what_can_not_be_read_is_not_passed() {
        for lists in [&["unknown"][..], &["192.0.2.1, unknown"], &["192.0.2.1,"], &[""]] {
            assert_eq!(client_of("10.0.0.2", lists, &PROXIES), "10.0.0.2", "{lists:?}");
        }
    }

    #[test]
    fn a_slip_in_the_list_says_what_to_write() {
        for text in ["", "10.0.0.0/33", "proxy.example", "10.0.0.5:80"] {
            let said = TrustedProxy::try_from(text.to_owned()).expect_err(text).to_string();
            assert!(said.contains("10.0.0.0/8"), "{said}");
        }
        assert_eq!(TrustedProxy::on_this_machine().len(), 2);
    }
}
