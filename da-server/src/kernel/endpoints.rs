//! Whose connection is it: by the name the client asked for, then by address.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::config::{EndpointConfig, EndpointKind, Unlisted};

/// Addresses learned from named connections; beyond that no more are learned.
const MAX_LEARNED: usize = 4096;

/// An endpoint of [`Endpoints`]: its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointId(usize);

/// Label values of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointLabels {
    /// The `endpoint` label.
    pub name: String,
    /// The `kind` label.
    pub kind: EndpointKind,
}

/// Result of looking a connection up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribution {
    /// It belongs to an endpoint, `other` included where the operator wants that.
    To(EndpointId),
    /// No endpoint lists it, and the operator does not want those.
    Unlisted,
    /// It showed no name, and its address serves several endpoints.
    Ambiguous,
}

/// Who is behind an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    One(EndpointId),
    Several,
}

/// The endpoints, and what is known of their addresses.
#[derive(Debug)]
pub struct Endpoints {
    labels: Vec<EndpointLabels>,
    exact: HashMap<String, EndpointId>,
    suffixes: HashMap<String, EndpointId>,
    configured: HashMap<SocketAddr, Owner>,
    learned: HashMap<SocketAddr, Owner>,
    other: Option<EndpointId>,
}

impl Endpoints {
    /// From validated configuration. Where two endpoints list one host, the later one has it.
    pub fn new(all: &[EndpointConfig], unlisted: Unlisted) -> Self {
        let mut endpoints = Self {
            labels: Vec::with_capacity(all.len() + 1),
            exact: HashMap::new(),
            suffixes: HashMap::new(),
            configured: HashMap::new(),
            learned: HashMap::new(),
            other: None,
        };
        for endpoint in all {
            let id = endpoints.add(&endpoint.name, endpoint.kind);
            for host in &endpoint.hosts {
                let host = host.to_ascii_lowercase();
                match host.strip_prefix("*.") {
                    Some(suffix) => endpoints.suffixes.insert(suffix.to_owned(), id),
                    None => endpoints.exact.insert(host, id),
                };
            }
            for address in &endpoint.addresses {
                claim(&mut endpoints.configured, *address, id);
            }
        }
        if unlisted == Unlisted::Other {
            endpoints.other = Some(endpoints.add("other", EndpointKind::Other));
        }
        endpoints
    }

    fn add(&mut self, name: &str, kind: EndpointKind) -> EndpointId {
        self.labels.push(EndpointLabels { name: name.to_owned(), kind });
        EndpointId(self.labels.len() - 1)
    }

    /// Label values of an endpoint.
    pub fn labels(&self, id: EndpointId) -> &EndpointLabels {
        &self.labels[id.0]
    }

    /// Says that `host` was resolved to `address`: by configuration or by a look-up.
    pub fn resolved(&mut self, host: &str, address: SocketAddr) {
        if let Some(id) = self.by_name(&host.to_ascii_lowercase()) {
            self.learn(address, id);
        }
    }

    /// Attributes a connection that asked for `name`, or showed none, at `address`.
    pub fn attribute(&mut self, name: Option<&str>, address: SocketAddr) -> Attribution {
        let unlisted = self.other.map_or(Attribution::Unlisted, Attribution::To);
        let Some(name) = name else {
            return match self.configured.get(&address).or_else(|| self.learned.get(&address)) {
                Some(Owner::One(id)) => Attribution::To(*id),
                Some(Owner::Several) => Attribution::Ambiguous,
                None => unlisted,
            };
        };
        match self.by_name(name) {
            Some(id) => {
                self.learn(address, id);
                Attribution::To(id)
            }
            None => {
                // Whoever connects there without a name may want this host as well.
                if let Some(owner) = self.learned.get_mut(&address) {
                    *owner = Owner::Several;
                }
                unlisted
            }
        }
    }

    /// Attributes a connection by the name asked for through a proxy, whose address tells nothing.
    pub fn attribute_proxied(&self, name: Option<&str>) -> Attribution {
        let unlisted = self.other.map_or(Attribution::Unlisted, Attribution::To);
        name.and_then(|name| self.by_name(name)).map_or(unlisted, Attribution::To)
    }

    /// `name` is in lower case.
    fn by_name(&self, name: &str) -> Option<EndpointId> {
        if let Some(id) = self.exact.get(name) {
            return Some(*id);
        }
        let mut rest = name;
        while let Some((_, suffix)) = rest.split_once('.') {
            if let Some(id) = self.suffixes.get(suffix) {
                return Some(*id);
            }
            rest = suffix;
        }
        None
    }

    /// A failed connect shows no name; the address of an earlier named connection tells.
    fn learn(&mut self, address: SocketAddr, id: EndpointId) {
        if self.learned.len() < MAX_LEARNED || self.learned.contains_key(&address) {
            claim(&mut self.learned, address, id);
        }
    }
}

fn claim(owners: &mut HashMap<SocketAddr, Owner>, address: SocketAddr, id: EndpointId) {
    owners
        .entry(address)
        .and_modify(|owner| {
            if *owner != Owner::One(id) {
                *owner = Owner::Several;
            }
        })
        .or_insert(Owner::One(id));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, hosts: &[&str], addresses: &[&str]) -> EndpointConfig {
        EndpointConfig {
            name: name.to_owned(),
            kind: EndpointKind::Llm,
            hosts: hosts.iter().map(ToString::to_string).collect(),
            addresses: addresses.iter().map(|address| address.parse().expect("address")).collect(),
        }
    }

    fn endpoints(unlisted: Unlisted) -> Endpoints {
        let all = [
            endpoint("a", &["api.a.example", "*.a.example"], &[]),
            endpoint("b", &["b.example"], &["10.0.0.9:443"]),
        ];
        Endpoints::new(&all, unlisted)
    }

    fn name_of(endpoints: &Endpoints, attribution: Attribution) -> Option<&str> {
        match attribution {
            Attribution::To(id) => Some(&endpoints.labels(id).name),
            Attribution::Unlisted | Attribution::Ambiguous => None,
        }
    }

    #[test]
    fn exact_names_suffixes_and_neither() {
        let mut all = endpoints(Unlisted::Drop);
        let address = "10.0.0.1:443".parse().expect("address");
        for (name, owner) in [
            ("api.a.example", Some("a")),
            ("deep.er.a.example", Some("a")),
            ("a.example", None),
            ("nota.example", None),
            ("b.example", Some("b")),
            ("x.b.example", None),
        ] {
            let attribution = all.attribute(Some(name), address);
            assert_eq!(name_of(&all, attribution), owner, "{name}");
        }
    }

    #[test]
    fn an_address_is_asked_only_where_no_name_was_seen() {
        let mut all = endpoints(Unlisted::Drop);
        let address = "10.0.0.9:443".parse().expect("address");
        let attribution = all.attribute(None, address);
        assert_eq!(name_of(&all, attribution), Some("b"));
        assert_eq!(all.attribute(Some("else.example"), address), Attribution::Unlisted);
    }

    #[test]
    fn an_address_that_served_two_endpoints_is_nobodys() {
        let mut all = endpoints(Unlisted::Drop);
        let address = "10.0.0.1:443".parse().expect("address");
        assert_eq!(all.attribute(None, address), Attribution::Unlisted);
        all.attribute(Some("api.a.example"), address);
        let attribution = all.attribute(None, address);
        assert_eq!(name_of(&all, attribution), Some("a"));
        all.attribute(Some("b.example"), address);
        assert_eq!(all.attribute(None, address), Attribution::Ambiguous);
    }

    #[test]
    fn an_address_that_served_an_unlisted_host_is_nobodys_either() {
        let mut all = endpoints(Unlisted::Drop);
        let address = "10.0.0.1:443".parse().expect("address");
        all.attribute(Some("api.a.example"), address);
        all.attribute(Some("else.example"), address);
        assert_eq!(all.attribute(None, address), Attribution::Ambiguous);
    }

    #[test]
    fn a_proxys_address_is_not_learned() {
        let all = endpoints(Unlisted::Drop);
        let attribution = all.attribute_proxied(Some("b.example"));
        assert_eq!(name_of(&all, attribution), Some("b"));
        assert_eq!(all.attribute_proxied(None), Attribution::Unlisted);
    }

    #[test]
    fn unlisted_hosts_are_other_where_that_is_wanted() {
        let mut all = endpoints(Unlisted::Other);
        let address = "10.0.0.1:443".parse().expect("address");
        let attribution = all.attribute(Some("else.example"), address);
        assert_eq!(name_of(&all, attribution), Some("other"));
    }

    #[test]
    fn a_resolved_host_is_known_before_its_first_connection() {
        let mut all = endpoints(Unlisted::Drop);
        let address = "10.0.0.2:443".parse().expect("address");
        all.resolved("API.a.example", address);
        all.resolved("else.example", address);
        let attribution = all.attribute(None, address);
        assert_eq!(name_of(&all, attribution), Some("a"));
    }
}
