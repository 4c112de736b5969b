//! Host patterns, and whose a host name is by them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::EndpointId;

/// A name tells no port; a provider's is that of HTTPS.
pub const PORT: u16 = 443;

/// Longest DNS name, RFC 1035 §2.3.4.
const MAX_NAME_BYTES: usize = 253;

/// What the endpoints list. Names and patterns are in lower case.
#[derive(Debug, Default)]
pub struct Hosts {
    /// `localhost:8000`: by port, then by name.
    at_port: HashMap<u16, HashMap<String, EndpointId>>,
    /// `api.example.com`
    exact: HashMap<String, EndpointId>,
    /// `api.*.example.com`: what stands before and after the `*`.
    within_label: Vec<(String, String, EndpointId)>,
    /// `*.example.com`: what follows the `*.`.
    any_depth: HashMap<String, EndpointId>,
}

impl Hosts {
    /// Gives what a [valid](is_valid) pattern matches to an endpoint. Of two that list the same
    /// pattern the later one has it.
    pub fn add(&mut self, pattern: &str, id: EndpointId) {
        let pattern = pattern.to_ascii_lowercase();
        if let Some(suffix) = pattern.strip_prefix("*.") {
            self.any_depth.insert(suffix.to_owned(), id);
        } else if let Some((before, after)) = pattern.split_once('*') {
            self.within_label.push((before.to_owned(), after.to_owned(), id));
        } else if let (name, Some(Ok(port))) = split_port(&pattern) {
            self.at_port.entry(port).or_default().insert(name.to_owned(), id);
        } else {
            self.exact.insert(pattern, id);
        }
    }

    /// The names that can be looked up (those without a `*`), and the port that is meant there.
    pub fn exact(&self) -> impl Iterator<Item = (&str, u16)> {
        let at_port = self.at_port.iter();
        let at_port = at_port.flat_map(|(port, names)| names.keys().map(|name| (name, *port)));
        let anywhere = self.exact.keys().map(|name| (name, PORT));
        anywhere.chain(at_port).map(|(name, port)| (name.as_str(), port))
    }

    /// Whose `name` is, whatever the port: who looks a name up has not said which.
    pub fn find_anywhere(&self, name: &str) -> Option<EndpointId> {
        let at_port = || self.at_port.values().find_map(|names| names.get(name).copied());
        self.find(name, PORT).or_else(at_port)
    }

    /// Whose `name` is at that port: the most specific pattern tells, names with their port first, then
    /// exact ones, `*.suffix` last and there the longest.
    pub fn find(&self, name: &str, port: u16) -> Option<EndpointId> {
        if let Some(id) = self.at_port.get(&port).and_then(|names| names.get(name)) {
            return Some(*id);
        }
        if let Some(id) = self.exact.get(name) {
            return Some(*id);
        }
        let mut within = self.within_label.iter().rev();
        if let Some((_, _, id)) = within.find(|(before, after, _)| is_within(name, before, after)) {
            return Some(*id);
        }
        let mut rest = name;
        while let Some((_, suffix)) = rest.split_once('.') {
            if let Some(id) = self.any_depth.get(suffix) {
                return Some(*id);
            }
            rest = suffix;
        }
        None
    }
}

/// Whether something, but no dot, stands between the two.
fn is_within(name: &str, before: &str, after: &str) -> bool {
    let between = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    between.is_some_and(|label| !label.is_empty() && !label.contains('.'))
}

/// The name, and what stands behind the colon, if there is one.
fn split_port(pattern: &str) -> (&str, Option<Result<u16, ()>>) {
    let number = |text: &str| match text.parse() {
        Ok(port) if port != 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(()),
    };
    match pattern.split_once(':') {
        Some((name, port)) => (name, Some(number(port))),
        None => (pattern, None),
    }
}

/// Whether a pattern is a host name with at most one `*` in it, beside which something stands, or one
/// without a `*` and with a port.
pub fn is_valid(pattern: &str) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-._*".contains(c);
    let (name, port) = split_port(pattern);
    let stars = name.matches('*').count();
    name.len() <= MAX_NAME_BYTES
        && name.chars().all(valid)
        && name.split('.').all(|label| !label.is_empty())
        && port.is_none_or(|port| port.is_ok() && stars == 0)
        && stars <= 1
        && name.chars().any(|c| c.is_ascii_alphanumeric())
}

/// Whether that is an address, with a port or without, and so no name that a client could ask for.
pub fn is_address(pattern: &str) -> bool {
    let bare = pattern.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(pattern).parse::<IpAddr>().is_ok() || pattern.parse::<SocketAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_with_at_most_one_star() {
        for valid in [
            "localhost",
            "API.example",
            "*.a.example",
            "a.*.example",
            "*-a.example",
            "a.*",
            "localhost:8000",
        ] {
            assert!(is_valid(valid), "{valid}");
        }
        let long = format!("{}.example", "a".repeat(253));
        for wrong in [
            "",
            "*",
            "*.",
            "a..b",
            ".a",
            "a b",
            "https://a.example",
            "*.*.a",
            "*.a:443",
            "a:",
            "a:0",
            "a:+1",
            "a:65536",
            ":443",
            &long,
        ] {
            assert!(!is_valid(wrong), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_told_from_a_name() {
        for address in ["10.0.0.5", "10.0.0.5:8000", "::1", "[::1]", "[::1]:8000"] {
            assert!(is_address(address), "{address}");
        }
        for name in ["localhost", "localhost:8000", "10.example", "1.2.3", "g::1"] {
            assert!(!is_address(name), "{name}");
        }
    }

    #[test]
    fn a_port_tells_two_servers_of_one_host_apart() {
        let mut hosts = Hosts::default();
        let [one, two, rest] = [0, 1, 2].map(EndpointId::for_test);
        hosts.add("localhost:8000", one);
        hosts.add("LOCALHOST:8001", two);
        assert_eq!(hosts.find("localhost", 8000), Some(one));
        assert_eq!(hosts.find("localhost", 8001), Some(two));
        assert_eq!(hosts.find("localhost", 8002), None);
        hosts.add("localhost", rest);
        assert_eq!(hosts.find("localhost", 8001), Some(two));
        assert_eq!(hosts.find("localhost", 8002), Some(rest));
        let mut asked: Vec<_> = hosts.exact().collect();
        asked.sort_unstable();
        assert_eq!(asked, [("localhost", 443), ("localhost", 8000), ("localhost", 8001)]);
    }

    #[test]
    fn a_star_within_stands_for_a_part_of_one_label() {
        let mut hosts = Hosts::default();
        let [region, prefix] = [0, 1].map(EndpointId::for_test);
        hosts.add("api.*.Cloud.example", region);
        hosts.add("*-ai.example", prefix);
        for (name, owner) in [
            ("api.eu-west-1.cloud.example", Some(region)),
            ("api.a.b.cloud.example", None),
            ("api..cloud.example", None),
            ("api.cloud.example", None),
            ("us-ai.example", Some(prefix)),
            ("-ai.example", None),
            ("a.us-ai.example", None),
        ] {
            assert_eq!(hosts.find(name, 443), owner, "{name}");
        }
    }

    #[test]
    fn the_most_specific_pattern_tells() {
        let mut hosts = Hosts::default();
        let [exact, within, long, short] = [0, 1, 2, 3].map(EndpointId::for_test);
        hosts.add("*.example", short);
        hosts.add("*.a.example", long);
        hosts.add("x-*.a.example", within);
        hosts.add("x-1.a.example", exact);
        assert_eq!(hosts.find("x-1.a.example", 443), Some(exact));
        assert_eq!(hosts.find("x-2.a.example", 443), Some(within));
        assert_eq!(hosts.find("y.a.example", 443), Some(long));
        assert_eq!(hosts.find("y.b.example", 443), Some(short));
        assert_eq!(hosts.find("example", 443), None);
    }
}
