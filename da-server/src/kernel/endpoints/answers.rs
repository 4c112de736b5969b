//! What hosts were looked up to.

use std::collections::HashMap;
use std::net::SocketAddr;

/// The latest answer for each host, and the one before: a client's own may be a little older. What
/// was true before that is forgotten, since addresses change hands.
#[derive(Debug, Default)]
pub struct Answers {
    by_host: HashMap<(String, u16), [Vec<SocketAddr>; 2]>,
    by_address: HashMap<SocketAddr, Vec<String>>,
}

impl Answers {
    /// Takes in what a host was looked up to for one of its ports.
    pub fn put(&mut self, host: &str, port: u16, addresses: Vec<SocketAddr>) {
        let [latest, before] = self.by_host.entry((host.to_owned(), port)).or_default();
        *before = std::mem::replace(latest, addresses);
        self.by_address.clear();
        for ((host, _), answers) in &self.by_host {
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
        answers.put("a.example", 443, vec![one]);
        answers.put("b.example", 443, vec![one, two]);
        answers.put("a.example", 443, vec![two]);
        assert_eq!(answers.hosts_at(one).len(), 2, "a client's cache is older");
        answers.put("a.example", 443, vec![two]);
        assert_eq!(answers.hosts_at(one), ["b.example"]);
        assert_eq!(answers.hosts_at(two).len(), 2);
        answers.put("a.example", 8000, Vec::new());
        assert_eq!(answers.hosts_at(two).len(), 2, "of another port");
        assert!(answers.hosts_at("10.0.0.3:443".parse().expect("address")).is_empty());
    }
}
