//! What a DNS message says: RFC 1035 §4.1.

use std::net::IpAddr;

use domain::base::Message;
use domain::base::iana::{Rcode, Rtype};
use domain::rdata::{A, Aaaa};

use super::DnsOutcome;

/// Addresses of one answer that are kept.
const MAX_ADDRESSES: usize = 32;

/// Labels of a name, at most: hosts have fewer, and names are others' to choose.
const MAX_LABELS: usize = 16;

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name, in lower case.
    pub name: String,
    /// Whether it wants IPv6 addresses.
    pub is_v6: bool,
}

/// What a query for addresses asks; none if it asks for something else, or of what can't be a host.
pub fn question(message: &[u8]) -> Option<Question> {
    let question = Message::from_octets(message).ok()?.first_question()?;
    let is_v6 = match question.qtype() {
        Rtype::A => false,
        Rtype::AAAA => true,
        _ => return None,
    };
    let name = question.qname().to_string().trim_end_matches('.').to_ascii_lowercase();
    let is_of_host = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_host = name.chars().all(is_of_host) && name.split('.').count() <= MAX_LABELS;
    is_host.then_some(Question { name, is_v6 })
}

/// What a server said about a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// What was asked.
    pub question: Question,
    /// What became of it.
    pub outcome: DnsOutcome,
    /// Its addresses, or those that the message, which may have been cut, begins with.
    pub addresses: Vec<IpAddr>,
}

impl Reply {
    /// Reads an answer to a query for addresses; none if it is something else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let question = question(bytes)?;
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
        Some(Self { question, outcome, addresses })
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
        assert_eq!(
            (reply.question.name.as_str(), reply.outcome),
            ("api.example", DnsOutcome::Resolved)
        );
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
    fn what_asks_for_no_hosts_address_is_of_no_interest() {
        let asked = |bytes: &[u8]| question(bytes).map(|asked| (asked.name, asked.is_v6));
        assert_eq!(asked(&begin([1, 0], 0, 1)), Some(("api.example".to_owned(), false)));
        assert_eq!(asked(&begin([1, 0], 0, 28)), Some(("api.example".to_owned(), true)));
        assert_eq!(asked(&begin([1, 0], 0, 16)), None, "TXT");
        assert_eq!(Reply::read(&begin([0x81, 0x80], 0, 65)), None, "HTTPS");
        assert_eq!(asked(&begin([1, 0], 0, 1)[..20]), None, "cut in the name");
        assert_eq!(asked(b"GET / HTTP/1.1"), None);
        let named = |name: &[u8]| {
            let head = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            [&head, name, &[0, 0, 1, 0, 1]].concat()
        };
        assert!(asked(&named(&b"\x01a".repeat(MAX_LABELS))).is_some());
        assert_eq!(asked(&named(&b"\x01a".repeat(MAX_LABELS + 1))), None, "too many labels");
        assert_eq!(asked(&named(b"\x03a.b")), None, "a dot within a label");
    }
}
