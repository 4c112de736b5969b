//! Host patterns, and whose a host name is by them.

use std::collections::HashMap;

use super::EndpointId;

/// Longest DNS name, RFC 1035 §2.3.4.
const MAX_NAME_BYTES: usize = 253;

/// What the endpoints list. Names and patterns are in lower case.
#[derive(Debug, Default)]
pub struct Hosts {
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
        } else {
            self.exact.insert(pattern, id);
        }
    }

    /// The names that can be looked up: those without a `*`.
    pub fn exact(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().map(String::as_str)
    }

    /// Whose `name` is: the most specific pattern tells, exact names first, `*.suffix` last and
    /// there the longest.
    pub fn find(&self, name: &str) -> Option<EndpointId> {
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

/// Whether a pattern is a host name with at most one `*` in it, beside which something stands.
pub fn is_valid(pattern: &str) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-._*".contains(c);
    pattern.len() <= MAX_NAME_BYTES
        && pattern.chars().all(valid)
        && pattern.split('.').all(|label| !label.is_empty())
        && pattern.matches('*').count() <= 1
        && pattern.chars().any(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_with_at_most_one_star() {
        for valid in
            ["localhost", "API.example", "*.a.example", "a.*.example", "*-a.example", "a.*"]
        {
            assert!(is_valid(valid), "{valid}");
        }
        let long = format!("{}.example", "a".repeat(253));
        for wrong in
            ["", "*", "*.", "a..b", ".a", "a b", "https://a.example", "*.*.a", "a:443", &long]
        {
            assert!(!is_valid(wrong), "{wrong}");
        }
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
            assert_eq!(hosts.find(name), owner, "{name}");
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
        assert_eq!(hosts.find("x-1.a.example"), Some(exact));
        assert_eq!(hosts.find("x-2.a.example"), Some(within));
        assert_eq!(hosts.find("y.a.example"), Some(long));
        assert_eq!(hosts.find("y.b.example"), Some(short));
        assert_eq!(hosts.find("example"), None);
    }
}
