//! What a DNS message says: RFC 1035 §4.1.

use std::net::IpAddr;

use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, ParsedName};
use domain::rdata::{A, Aaaa};

use super::DnsOutcome;

/// Addresses of one answer that are kept.
const MAX_ADDRESSES: usize = 32;

/// The name that a query asks the addresses of, in lower case; none if it asks for something else.
pub fn asked_name(message: &[u8]) -> Option<String> {
    let question = Message::from_octets(message).ok()?.first_question()?;
    let is_address = matches!(question.qtype(), Rtype::A | Rtype::AAAA);
    is_address.then(|| shown(question.qname()))
}

fn shown(name: &ParsedName<&[u8]>) -> String {
    name.to_string().trim_end_matches('.').to_ascii_lowercase()
}

/// What a server said about a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// The name that was asked for, in lower case.
    pub name: String,
    /// What became of it.
    pub outcome: DnsOutcome,
    /// Its addresses, or those that the message, which may have been cut, begins with.
    pub addresses: Vec<IpAddr>,
}

impl Reply {
    /// Reads an answer to a query for addresses; none if it is something else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let name = asked_name(bytes)?;
        let message = Message::from_octets(bytes).ok()?;
        let addresses = addresses(&message);
        let outcome = match message.header().rcode() {
            Rcode::NOERROR if !addresses.is_empty() => DnsOutcome::Resolved,
            Rcode::NOERROR if message.header().tc() => DnsOutcome::Truncated,
            Rcode::NOERROR => DnsOutcome::NoAddress,
            Rcode::NXDOMAIN => DnsOutcome::NoSuchName,
            Rcode::SERVFAIL => DnsOutcome::ServerFailure,
            Rcode::REFUSED => DnsOutcome::Refused,
            _ => DnsOutcome::Failed,
        };
        Some(Self { name, outcome, addresses })
    }
}

fn addresses(message: &Message<&[u8]>) -> Vec<IpAddr> {
    let Ok(answers) = message.answer() else { return Vec::new() };
    let records = answers.take(MAX_ADDRESSES).map_while(Result::ok);
    let address = |record: domain::base::ParsedRecord<'_, &[u8]>| {
        if let Ok(Some(four)) = record.to_record::<A>() {
            return Some(IpAddr::from(four.data().addr()));
        }
        let six = record.to_record::<Aaaa>().ok()??;
        Some(IpAddr::from(six.data().addr()))
    };
    records.filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with so many answers, and a question.
    fn begin(flags: [u8; 2], answers: u8, kind: u8) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, flags[0], flags[1], 0, 1, 0, answers, 0, 0, 0, 0];
        bytes.extend(b"\x03API\x07example\x00");
        bytes.extend([0, kind, 0, 1]);
        bytes
    }

    /// A record of the name that was asked for.
    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8];
        bytes.extend(data);
        bytes
    }

    #[test]
    fn an_answer_tells_name_and_addresses_behind_an_alias() {
        let mut bytes = begin([0x81, 0x80], 3, 1);
        bytes.extend(record(5, b"\x03cdn\xc0\x10"));
        bytes.extend(record(1, &[10, 0, 0, 1]));
        bytes.extend(record(1, &[10, 0, 0, 2]));
        let reply = Reply::read(&bytes).expect("an answer");
        assert_eq!((reply.name.as_str(), reply.outcome), ("api.example", DnsOutcome::Resolved));
        let known: Vec<IpAddr> = ["10.0.0.1", "10.0.0.2"].map(|one| one.parse().unwrap()).into();
        assert_eq!(reply.addresses, known);
        let cut = Reply::read(&bytes[..bytes.len() - 3]).expect("the beginning of one");
        assert_eq!(cut.addresses, known[..1]);
    }

    #[test]
    fn addresses_are_of_either_kind() {
        let mut bytes = begin([0x81, 0x80], 1, 28);
        let address: std::net::Ipv6Addr = "fd00::1".parse().unwrap();
        bytes.extend(record(28, &address.octets()));
        assert_eq!(Reply::read(&bytes).expect("an answer").addresses, [IpAddr::from(address)]);
    }

    #[test]
    fn each_response_code_has_its_outcome() {
        for (flags, outcome) in [
            ([0x81, 0x80], DnsOutcome::NoAddress),
            ([0x81, 0x83], DnsOutcome::NoSuchName),
            ([0x81, 0x82], DnsOutcome::ServerFailure),
            ([0x81, 0x85], DnsOutcome::Refused),
            ([0x81, 0x84], DnsOutcome::Failed),
            ([0x83, 0x80], DnsOutcome::Truncated),
        ] {
            assert_eq!(Reply::read(&begin(flags, 0, 1)).expect("an answer").outcome, outcome);
        }
    }

    #[test]
    fn what_asks_for_no_address_is_of_no_interest() {
        assert_eq!(asked_name(&begin([1, 0], 0, 1)).as_deref(), Some("api.example"));
        assert_eq!(asked_name(&begin([1, 0], 0, 16)), None, "TXT");
        assert_eq!(Reply::read(&begin([0x81, 0x80], 0, 65)), None, "HTTPS");
        assert_eq!(asked_name(&begin([1, 0], 0, 1)[..20]), None, "cut in the name");
        assert_eq!(asked_name(b"GET / HTTP/1.1"), None);
    }
}
