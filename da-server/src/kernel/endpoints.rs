//! Whose connection is it: by the name the client asked for, then by address.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::answers::Answers;
use super::config::{EndpointConfig, EndpointKind, Unlisted};
use super::hosts::Hosts;

/// Addresses learned from named connections; beyond that no more are learned.
const MAX_LEARNED: usize = 4096;

/// An endpoint of [`Endpoints`]: its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(usize);

#[cfg(test)]
impl EndpointId {
    /// The endpoint of that index, for tests that have no list of endpoints.
    pub fn for_test(index: usize) -> Self {
        Self(index)
    }
}

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

/// Who is behind an address of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    One(EndpointId),
    Several,
}

/// Who is behind an address that a connection showed. By name, so that it stays true when the
/// endpoints are replaced.
#[derive(Debug, PartialEq, Eq)]
enum Learned {
    Host(String),
    /// Hosts of several endpoints, or of one and of none.
    Several,
}

/// The endpoints, and what is known of their addresses.
#[derive(Debug, Default)]
pub struct Endpoints {
    /// Of every endpoint there ever was: connections that began as one's end as that one's.
    labels: Vec<EndpointLabels>,
    hosts: Hosts,
    configured: HashMap<SocketAddr, Owner>,
    learned: HashMap<SocketAddr, Learned>,
    answers: Answers,
    other: Option<EndpointId>,
}

impl Endpoints {
    /// From validated configuration. Where two endpoints list one host, the later one has it.
    pub fn new(all: &[EndpointConfig], unlisted: Unlisted) -> Self {
        let mut endpoints = Self::default();
        endpoints.replace(all, unlisted);
        endpoints
    }

    /// Puts another list in force. An endpoint whose name and kind are in both keeps its id; ids
    /// of endpoints that are in neither keep their labels.
    pub fn replace(&mut self, all: &[EndpointConfig], unlisted: Unlisted) {
        self.hosts = Hosts::default();
        self.configured.clear();
        for endpoint in all {
            let id = self.id_of(&endpoint.name, endpoint.kind);
            for host in &endpoint.hosts {
                self.hosts.add(host, id);
            }
            for address in &endpoint.addresses {
                // As the sockets of others show it: not v4-mapped.
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                claim(&mut self.configured, address, id);
            }
        }
        self.other = match unlisted {
            Unlisted::Other => Some(self.id_of("other", EndpointKind::Other)),
            Unlisted::Drop => None,
        };
    }

    fn id_of(&mut self, name: &str, kind: EndpointKind) -> EndpointId {
        let known = self.labels.iter().position(|known| known.name == name && known.kind == kind);
        EndpointId(known.unwrap_or_else(|| {
            self.labels.push(EndpointLabels { name: name.to_owned(), kind });
            self.labels.len() - 1
        }))
    }

    /// Label values of an endpoint.
    pub fn labels(&self, id: EndpointId) -> &EndpointLabels {
        &self.labels[id.0]
    }

    /// Hosts that can be looked up.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.exact()
    }

    /// Says what one of [`Self::hosts`] was looked up to.
    pub fn looked_up(&mut self, host: &str, addresses: Vec<SocketAddr>) {
        self.answers.put(host, addresses);
    }

    /// Says that the configuration has `host` at `address`.
    pub fn resolved(&mut self, host: &str, address: SocketAddr) {
        let host = host.to_ascii_lowercase();
        if self.hosts.find(&host).is_some() {
            self.learn(address, &host);
        }
    }

    /// Attributes a connection that asked for `name` (in lower case), or showed none, at `address`.
    pub fn attribute(&mut self, name: Option<&str>, address: SocketAddr) -> Attribution {
        let Some(name) = name else { return self.by_address(address) };
        match self.hosts.find(name) {
            Some(id) => {
                self.learn(address, name);
                Attribution::To(id)
            }
            None => {
                // Whoever connects there without a name may want this host as well.
                if self.learned.contains_key(&address) || !self.answers.hosts_at(address).is_empty()
                {
                    self.learned.insert(address, Learned::Several);
                }
                self.unlisted()
            }
        }
    }

    /// Attributes a connection by the name asked for through a proxy, whose address tells nothing.
    pub fn attribute_proxied(&self, name: Option<&str>) -> Attribution {
        self.by_name(name)
    }

    /// Configuration has the last word. Below it, whatever is known must agree.
    fn by_address(&self, address: SocketAddr) -> Attribution {
        let learned = match (self.configured.get(&address), self.learned.get(&address)) {
            (Some(Owner::One(id)), _) => return Attribution::To(*id),
            (Some(Owner::Several), _) | (None, Some(Learned::Several)) => {
                return Attribution::Ambiguous;
            }
            (None, Some(Learned::Host(host))) => Some(host),
            (None, None) => None,
        };
        let hosts = learned.into_iter().chain(self.answers.hosts_at(address));
        let mut ids = hosts.filter_map(|host| self.hosts.find(host));
        match ids.next() {
            Some(first) if ids.all(|id| id == first) => Attribution::To(first),
            Some(_) => Attribution::Ambiguous,
            None => self.unlisted(),
        }
    }

    fn by_name(&self, name: Option<&str>) -> Attribution {
        name.and_then(|name| self.hosts.find(name)).map_or(self.unlisted(), Attribution::To)
    }

    fn unlisted(&self) -> Attribution {
        self.other.map_or(Attribution::Unlisted, Attribution::To)
    }

    /// A failed connect shows no name; the address of an earlier named connection tells.
    fn learn(&mut self, address: SocketAddr, host: &str) {
        let room = self.learned.len() < MAX_LEARNED;
        match self.learned.get_mut(&address) {
            Some(learned) => {
                if let Learned::Host(known) = learned
                    && self.hosts.find(known) != self.hosts.find(host)
                {
                    *learned = Learned::Several;
                }
            }
            None if room => {
                self.learned.insert(address, Learned::Host(host.to_owned()));
            }
            None => {}
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
            endpoint("b", &["b.example"], &["10.0.0.9:443", "[::ffff:10.0.0.10]:443"]),
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
        let mapped = "10.0.0.10:443".parse().expect("address");
        let attribution = all.attribute(None, mapped);
        assert_eq!(name_of(&all, attribution), Some("b"));
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
    fn a_looked_up_address_is_its_endpoints_as_long_as_nothing_speaks_against_it() {
        let mut all = endpoints(Unlisted::Drop);
        let [own, shared, named, foreign] =
            [1, 2, 3, 4].map(|last| SocketAddr::from(([10, 0, 0, last], 443)));
        all.looked_up("api.a.example", vec![own, shared, named, foreign]);
        all.looked_up("b.example", vec![shared]);
        let attribution = all.attribute(None, own);
        assert_eq!(name_of(&all, attribution), Some("a"));
        assert_eq!(all.attribute(None, shared), Attribution::Ambiguous, "two hosts");
        all.attribute(Some("b.example"), named);
        assert_eq!(all.attribute(None, named), Attribution::Ambiguous, "another host was asked");
        all.attribute(Some("else.example"), foreign);
        assert_eq!(all.attribute(None, foreign), Attribution::Ambiguous, "an unlisted one, too");
        all.replace(&[endpoint("c", &["api.a.example"], &[])], Unlisted::Drop);
        let attribution = all.attribute(None, own);
        assert_eq!(name_of(&all, attribution), Some("c"));
    }

    #[test]
    fn only_whole_names_can_be_looked_up() {
        let all = endpoints(Unlisted::Drop);
        let mut hosts: Vec<_> = all.hosts().collect();
        hosts.sort_unstable();
        assert_eq!(hosts, ["api.a.example", "b.example"]);
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

    #[test]
    fn an_endpoint_that_stays_is_the_same_after_a_change() {
        let mut all = endpoints(Unlisted::Other);
        let address = "10.0.0.1:443".parse().expect("address");
        let before = ["api.a.example", "b.example", "else.example"]
            .map(|name| all.attribute(Some(name), address));

        let changed = [endpoint("new", &["new.example"], &[]), endpoint("a", &["a2.example"], &[])];
        all.replace(&changed, Unlisted::Drop);
        assert_eq!(all.attribute(Some("a2.example"), address), before[0]);
        let of_new = all.attribute(Some("new.example"), address);
        assert_eq!(name_of(&all, of_new), Some("new"));
        assert!(!before.contains(&of_new));
        for gone in ["api.a.example", "b.example", "else.example"] {
            assert_eq!(all.attribute(Some(gone), address), Attribution::Unlisted, "{gone}");
        }
        assert_eq!(
            all.attribute(None, "10.0.0.9:443".parse().expect("address")),
            Attribution::Unlisted
        );
        for (of, name) in before.into_iter().zip(["a", "b", "other"]) {
            assert_eq!(name_of(&all, of), Some(name), "connections end as what they began");
        }
    }

    #[test]
    fn an_endpoint_of_another_kind_is_another() {
        let mut all = endpoints(Unlisted::Drop);
        let address = "10.0.0.1:443".parse().expect("address");
        let llm = all.attribute(Some("b.example"), address);
        let mut changed = endpoint("b", &["b.example"], &[]);
        changed.kind = EndpointKind::Tts;
        all.replace(&[changed], Unlisted::Drop);
        assert_ne!(all.attribute(Some("b.example"), address), llm);
    }

    #[test]
    fn a_learned_address_follows_its_host_to_another_endpoint() {
        let mut all = endpoints(Unlisted::Drop);
        let address = "10.0.0.1:443".parse().expect("address");
        all.attribute(Some("api.a.example"), address);
        all.replace(&[endpoint("c", &["api.a.example"], &[])], Unlisted::Drop);
        let attribution = all.attribute(None, address);
        assert_eq!(name_of(&all, attribution), Some("c"));
        all.replace(&[], Unlisted::Drop);
        assert_eq!(all.attribute(None, address), Attribution::Unlisted);
    }
}
