//! Whose connection is it: by the name the client asked for, then by address.

pub(super) mod answers;
pub mod catalogue;
pub(super) mod hosts;
pub(super) mod learned;
pub(super) mod lookups;
pub(super) mod names;
pub(super) mod own_threads;
pub(super) mod replacement;
pub mod services;
pub(super) mod target;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use self::answers::Answers;
use self::catalogue::{EndpointConfig, EndpointKind};
use self::hosts::Hosts;
use self::learned::{Full, Learned, Place, Who};
use self::target::Target;
use super::config::Unlisted;

/// Labels of the longest domain of a search list: `namespace.svc.cluster.local` has four.
const MAX_SEARCHED_LABELS: usize = 6;
/// What the names of a Kubernetes cluster's own services end with, unless it was told otherwise.
const CLUSTER_DOMAIN: &str = ".cluster.local";

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
    /// The `provider` label.
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

/// The endpoints, and what is known of their addresses.
#[derive(Debug, Default)]
pub struct Endpoints {
    /// Of every endpoint there ever was: connections that began as one's end as that one's.
    labels: Vec<EndpointLabels>,
    hosts: Hosts,
    configured: HashMap<SocketAddr, Owner>,
    /// Hosts that the configuration has at an address.
    resolved: HashMap<SocketAddr, Vec<String>>,
    learned: Learned,
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

    /// Hosts that can be looked up, and for which port.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, u16)> {
        self.hosts.exact()
    }

    /// Says what one of [`Self::hosts`] was looked up to.
    pub fn looked_up(&mut self, host: &str, port: u16, addresses: Vec<SocketAddr>) {
        self.answers.put(host, port, addresses);
    }

    /// Says that the configuration has `host` at `address`.
    pub fn resolved(&mut self, host: &str, address: SocketAddr) {
        self.resolved.entry(address).or_default().push(host.to_ascii_lowercase());
    }

    /// Attributes a connection that asked for `name` (in lower case), or showed none, at `place`.
    pub fn attribute(&self, name: Option<&str>, place: Place) -> Attribution {
        match name {
            Some(name) => self.by_name(name, place.address.port()),
            None => self.by_address(place),
        }
    }

    /// Whose the host is that was looked up, and the host. A resolver appends the domains of its search list to a
    /// name, one after the other: where a name has no address, or is one of a cluster's, what it begins with may be the
    /// host.
    pub fn of_query<'n>(&self, name: &'n str, has_address: bool) -> Option<(EndpointId, &'n str)> {
        let may_be_searched = !has_address || name.ends_with(CLUSTER_DOMAIN);
        let mut host = name;
        for _ in 0..=MAX_SEARCHED_LABELS {
            if let Some(id) = self.hosts.find_anywhere(host) {
                return Some((id, host));
            }
            match host.rsplit_once('.') {
                // A single label begins any number of names that have nothing to do with it.
                Some((before, _)) if may_be_searched && before.contains('.') => host = before,
                _ => break,
            }
        }
        self.other.map(|other| (other, name))
    }

    /// Attributes a connection that has shown no name, whose process had looked `host` up at its address, or only what
    /// nobody lists.
    pub fn attribute_looked_up(&self, host: Option<&str>, place: Place) -> Attribution {
        match host {
            _ if self.configured.contains_key(&place.address) => self.by_address(place),
            Some(host) => self.by_name(host, place.address.port()),
            None => self.unlisted(),
        }
    }

    /// A connection to `place` itself has asked for `name`: a later one may show none, as where a connect
    /// fails. Whoever asks a proxy, or through one, has told nothing of the proxy's address.
    ///
    /// # Errors
    /// There is no room for more addresses.
    pub fn learn(&mut self, name: &str, place: Place) -> Result<(), Full> {
        let now = Instant::now();
        if self.hosts.find(name, place.address.port()).is_some() {
            return self.learned.saw(place, Who::Host(name.to_owned()), now);
        }
        // Whoever connects there without a name may want this host as well.
        let is_of_interest = self.learned.at(place, now).next().is_some()
            || self.hosts_at(place.address).next().is_some();
        if is_of_interest { self.learned.saw(place, Who::Unlisted, now) } else { Ok(()) }
    }

    /// Attributes a connection by what a proxy, whose own address tells nothing, was asked for, and by
    /// the name that was then asked for through it, if there was one.
    pub fn attribute_proxied(&self, name: Option<&str>, target: Option<&Target>) -> Attribution {
        match (name, target) {
            (Some(name), Some(target)) => self.by_name(name, target.port()),
            (None, Some(Target::Host(name, port))) => self.by_name(name, *port),
            (None, Some(Target::Address(address))) => self.by_configuration(*address),
            (Some(name), None) => self.by_name(name, hosts::PORT),
            (None, None) => self.unlisted(),
        }
    }

    /// Configuration has the last word. Below it, whatever is known must agree.
    fn by_address(&self, place: Place) -> Attribution {
        if self.configured.contains_key(&place.address) {
            return self.by_configuration(place.address);
        }
        let mut hosts: Vec<_> = self.hosts_at(place.address).map(String::as_str).collect();
        for who in self.learned.at(place, Instant::now()) {
            match who {
                Who::Host(host) => hosts.push(host),
                Who::Unlisted => return Attribution::Ambiguous,
            }
        }
        self.agreed(&hosts, place.address.port())
    }

    /// The same of an address that a proxy connects to: only the proxy knows in which network.
    fn by_configuration(&self, address: SocketAddr) -> Attribution {
        match self.configured.get(&address) {
            Some(Owner::One(id)) => Attribution::To(*id),
            Some(Owner::Several) => Attribution::Ambiguous,
            None => {
                let hosts: Vec<_> = self.hosts_at(address).map(String::as_str).collect();
                self.agreed(&hosts, address.port())
            }
        }
    }

    /// Whose all of these hosts are that anybody lists.
    fn agreed(&self, hosts: &[&str], port: u16) -> Attribution {
        let mut ids = hosts.iter().filter_map(|host| self.hosts.find(host, port));
        match ids.next() {
            Some(first) if ids.all(|id| id == first) => Attribution::To(first),
            Some(_) => Attribution::Ambiguous,
            None => self.unlisted(),
        }
    }

    /// Hosts that are known to be at an address without any connection to it.
    fn hosts_at(&self, address: SocketAddr) -> impl Iterator<Item = &String> {
        let resolved = self.resolved.get(&address).into_iter().flatten();
        resolved.chain(self.answers.hosts_at(address))
    }

    fn by_name(&self, name: &str, port: u16) -> Attribution {
        self.hosts.find(name, port).map_or(self.unlisted(), Attribution::To)
    }

    fn unlisted(&self) -> Attribution {
        self.other.map_or(Attribution::Unlisted, Attribution::To)
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
mod tests;
