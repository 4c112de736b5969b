//! The programs' maps of DNS queries and answers, as the reader uses them.

use aya::maps::{Array, HashMap, MapData, RingBuf};
use da_ebpf_common::dns::{Answer, Query, QueryId};
use zerocopy::FromBytes;

/// See [`da_ebpf_common::dns`].
pub struct DnsMaps {
    /// `DNS_ANSWERS`.
    pub answers: RingBuf<MapData>,
    /// `DNS_QUERIES`.
    pub queries: HashMap<MapData, QueryId, Query>,
    /// `DNS_UNCONNECTED`: not 0 while there may be queries from sockets that are not connected.
    pub unconnected: Array<MapData, u64>,
}

/// What there is to do with an answer and the beginning of its message.
pub trait TakeAnswer: FnMut(&Answer, &[u8]) {}

impl<F: FnMut(&Answer, &[u8])> TakeAnswer for F {}

impl DnsMaps {
    /// Hands over every answer that is there. Entries that are none can't be: they are left out.
    pub fn take_answers(&mut self, mut take: impl TakeAnswer) {
        while let Some(entry) = self.answers.next() {
            if let Ok((answer, message)) = Answer::read_from_prefix(&entry) {
                let bytes = usize::try_from(answer.captured_bytes).unwrap_or(usize::MAX);
                take(&answer, &message[..bytes.min(message.len())]);
            }
        }
    }

    /// Removes the queries that were sent before then and have no answer, and returns them.
    pub fn take_unanswered(&mut self, sent_before_ns: u64) -> Vec<Query> {
        // In this order: a query that comes meanwhile is either found, or sets it again.
        let was_set = self.unconnected.get(&0, 0).unwrap_or_default() != 0;
        if was_set {
            let _ = self.unconnected.set(0, 0, 0);
        }
        let all: Vec<_> = self.queries.iter().filter_map(Result::ok).collect();
        if was_set && !all.is_empty() {
            let _ = self.unconnected.set(0, 1, 0);
        }
        let old = all.into_iter().filter(|(_, query)| query.sent_ns < sent_before_ns);
        // One that is not there any more was answered in this moment.
        old.filter_map(|(id, query)| self.queries.remove(&id).ok().map(|()| query)).collect()
    }
}
