//! Whose connection is it: by the name the client asked for, then by address.

pub(super) mod answers;
pub mod catalogue;
pub(super) mod hosts;
pub(super) mod lookups;
pub(super) mod names;
pub(super) mod replacement;

use std::collections::HashMap;
use std::net::SocketAddr;

use self::answers::Answers;
use self::catalogue::{EndpointConfig, EndpointKind};
use self::hosts::Hosts;
use super::config::Unlisted;

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
mod tests;
