//! What of `[[endpoint]]` can be used, and yet may not be what was meant.

use std::net::SocketAddr;

use super::{EndpointConfig, catalogue};

/// Sentences for the log: what is listed twice, and what is taken from the built-in catalogue.
pub fn doubts(own: &[EndpointConfig]) -> Vec<String> {
    let known = catalogue();
    let replaced = |known: &EndpointConfig| own.iter().any(|endpoint| endpoint.name == known.name);
    let mut doubts = Vec::new();
    for (index, endpoint) in own.iter().enumerate() {
        let EndpointConfig { name, hosts, addresses, .. } = endpoint;
        for (position, host) in hosts.iter().enumerate() {
            if hosts[..position].iter().any(|earlier| earlier.eq_ignore_ascii_case(host)) {
                doubts.push(format!("endpoint {name:?} lists host {host:?} twice"));
            } else if let Some(known) =
                known.iter().find(|known| known.lists(host) && !replaced(known))
            {
                doubts.push(format!(
                    "endpoint {name:?} takes host {host:?} from the built-in endpoint {:?}",
                    known.name
                ));
            }
        }
        for (position, address) in addresses.iter().enumerate() {
            let is_it = |other: &SocketAddr| canonical(other) == canonical(address);
            if addresses[..position].iter().any(is_it) {
                doubts.push(format!("endpoint {name:?} lists address \"{address}\" twice"));
            } else if let Some(other) =
                own[..index].iter().find(|other| other.addresses.iter().any(is_it))
            {
                doubts.push(format!(
                    "endpoints {:?} and {name:?} list address \"{address}\": connections there that \
                     show no name are neither's",
                    other.name
                ));
            }
        }
    }
    doubts
}

/// As sockets are compared with it: not v4-mapped.
fn canonical(address: &SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::super::EndpointKind;
    use super::*;

    fn endpoint(name: &str, hosts: &[&str], addresses: &[&str]) -> EndpointConfig {
        EndpointConfig {
            name: name.to_owned(),
            kind: EndpointKind::Llm,
            hosts: hosts.iter().map(ToString::to_string).collect(),
            addresses: addresses.iter().map(|address| address.parse().expect("address")).collect(),
        }
    }

    #[test]
    fn nothing_speaks_against_the_catalogue_or_what_replaces_it_by_name() {
        assert!(doubts(&catalogue()).is_empty());
        assert!(
            doubts(&[endpoint("anthropic", &["api.anthropic.com", "llm.internal"], &[])])
                .is_empty()
        );
    }

    #[test]
    fn what_is_listed_twice_or_taken_from_the_catalogue_is_told() {
        let own = [
            endpoint("x", &["a.example", "A.example"], &["10.0.0.1:1", "[::ffff:10.0.0.1]:1"]),
            endpoint("y", &["api.anthropic.com"], &["10.0.0.1:1"]),
        ];
        assert_eq!(
            doubts(&own),
            [
                "endpoint \"x\" lists host \"A.example\" twice",
                "endpoint \"x\" lists address \"[::ffff:10.0.0.1]:1\" twice",
                "endpoint \"y\" takes host \"api.anthropic.com\" from the built-in endpoint \
                 \"anthropic\"",
                "endpoints \"x\" and \"y\" list address \"10.0.0.1:1\": connections there that show no \
                 name are neither's",
            ]
        );
    }
}
