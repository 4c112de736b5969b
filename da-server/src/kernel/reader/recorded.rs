//! What the reader takes in, as entries of a recording.

use da_ebpf_common::connection::Connection;
use da_ebpf_common::dns::Answer;
use da_ebpf_common::event::ConnectionId;
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, IntoBytes};

use crate::kernel::Watch;
use crate::recording::base64_bytes;

/// One thing that the reader took in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// The first entry.
    Begun {
        /// The build that wrote it: another one may lay events out otherwise.
        commit: String,
        /// What was looked for.
        watch: Watch,
    },
    /// An event, laid out as in the ring buffer.
    Event(#[serde(with = "base64_bytes")] Vec<u8>),
    /// The answer to a DNS query for a host that anybody lists. Queries without an answer are not recorded.
    DnsAnswer(RecordedAnswer),
    /// The record of a connection whose exchange was said to be over.
    Settled(SettledRecord),
}

impl Recorded {
    /// An answer, of which `message` is the beginning, and when its look-up began, ns.
    pub fn dns_answer(answer: &Answer, message: &[u8], from_ns: u64) -> Self {
        Self::DnsAnswer(RecordedAnswer { from_ns, answer: [answer.as_bytes(), message].concat() })
    }
}

/// See [`Recorded::DnsAnswer`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordedAnswer {
    /// When the look-up began, ns.
    pub from_ns: u64,
    /// As in its ring buffer.
    #[serde(with = "base64_bytes")]
    pub answer: Vec<u8>,
}

/// See [`Recorded::Settled`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SettledRecord {
    /// Address of the socket.
    sock: u64,
    /// When it was in SYN_SENT, ns.
    born_ns: u64,
    /// When the exchange was over, ns.
    pub over_ns: u64,
    /// A [`Connection`].
    #[serde(with = "base64_bytes")]
    record: Vec<u8>,
}

impl SettledRecord {
    /// Of `connection`, whose exchange was over by then.
    pub fn new(connection: ConnectionId, record: &Connection, over_ns: u64) -> Self {
        let ConnectionId { sock, born_ns } = connection;
        Self { sock, born_ns, over_ns, record: record.as_bytes().to_vec() }
    }

    /// Which connection it is of.
    pub fn connection(&self) -> ConnectionId {
        ConnectionId { sock: self.sock, born_ns: self.born_ns }
    }

    /// The record; none where the recording is of a build that laid it out otherwise.
    pub fn record(&self) -> Option<Box<Connection>> {
        Connection::read_from_bytes(&self.record).ok().map(Box::new)
    }
}
