//! What hosts were looked up to.

use std::collections::HashMap;
use std::net::SocketAddr;

/// The latest answer for each host, and the one before: a client's own may be a little older. What
/// was true before that is forgotten, since addresses change hands.
#[derive(Debug, Default)]
pub struct Answers {
    by_host: HashMap<String, [Vec<SocketAddr>; 2]>,
    by_address: HashMap<SocketAddr, Vec<String>>,
}

impl Answers {
    /// Takes an answer in.
    pub fn put(&mut self, host: &str, addresses: Vec<SocketAddr>) {
        let [latest, before] = self.by_host.entry(host.to_owned()).or_default();
        *before = std::mem::replace(latest, addresses);
        self.by_address.clear();
        for (host, answers) in &self.by_host {
            for address in answers.iter().flatten() {
                let hosts = self.by_address.entry(*address).or_default();
                if !hosts.contains(host) {
                    hosts.push(host.clone());
                }
            }
        }
    }

    /// The hosts that are at an address.
    pub fn hosts_at(&self, address: SocketAddr) -> &[String] {
        self.by_address.get(&address).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_hosts_until_two_answers_lack_it() {
        let [one, two]: [SocketAddr; 2] =
            ["10.0.0.1:443", "10.0.0.2:443"].map(|at| at.parse().expect("address"));
        let mut answers = Answers::default();
        answers.put("a.example", vec![one]);
        answers.put("b.example", vec![one, two]);
        answers.put("a.example", vec![two]);
        assert_eq!(answers.hosts_at(one).len(), 2, "a client's cache is older");
        answers.put("a.example", vec![two]);
        assert_eq!(answers.hosts_at(one), ["b.example"]);
        assert_eq!(answers.hosts_at(two).len(), 2);
        assert!(answers.hosts_at("10.0.0.3:443".parse().expect("address")).is_empty());
    }
}
