//! The programs' maps of DNS queries and answers, as the reader uses them.

use std::collections::HashMap as Counts;

use aya::maps::{HashMap, MapData, RingBuf};
use da_ebpf_common::dns::{ANSWERS_BYTES, Answer, MAX_QUERIES, Query, QueryId, UNANSWERED_NS};
use zerocopy::FromBytes;

use super::message::{Question, question};
use crate::kernel::endpoints::own_threads::OwnThreads;

/// Answers that the ring buffer has room for, and so as many as are taken before something else comes to its turn.
pub const MAX_BATCH: usize = ANSWERS_BYTES as usize / size_of::<Answer>();
/// Queries without an answer that are taken out at once.
const MAX_UNANSWERED: usize = 256;
/// Queries among which an earlier one of the same question is looked for.
const MAX_LOOKED_AT: usize = 128;

/// See [`da_ebpf_common::dns`].
pub struct DnsMaps {
    /// `DNS_ANSWERS`.
    pub answers: RingBuf<MapData>,
    /// `DNS_QUERIES`.
    pub queries: HashMap<MapData, QueryId, Query>,
    /// Whose queries nobody waits for.
    pub own: OwnThreads,
}

/// What a look at the queries without an answer has come to.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Those that have none yet.
    pub still: Vec<(QueryId, Query)>,
    /// Those that have had none for too long: they are not followed any more.
    pub unanswered: Vec<(QueryId, Query)>,
    /// How many of whoever has most of them are not followed any more, because there was little room.
    pub evicted: u64,
}

impl DnsMaps {
    /// The next answer, and the beginning of its message. What this process asks for the endpoints' hosts is left out.
    pub fn next_answer(&mut self) -> Option<(Answer, Vec<u8>)> {
        loop {
            let entry = self.answers.next()?;
            // Entries that are none can't be.
            let Ok((answer, message)) = Answer::read_from_prefix(&entry) else { continue };
            if self.own.have_asked(&answer.peers) {
                continue;
            }
            let bytes = usize::try_from(answer.captured_bytes).unwrap_or(usize::MAX);
            return Some((answer, message[..bytes.min(message.len())].to_vec()));
        }
    }

    /// When a process first asked a question to which it has an answer now: resolvers that ask another server do so from
    /// another socket, and the query before stays without an answer. Not looked for among very many.
    pub fn asked_first_ns(&self, answer: &Answer, asked: &Question) -> u64 {
        let others = self.queries.iter().take(MAX_LOOKED_AT).filter_map(Result::ok);
        let earlier = others.filter(|(_, query)| {
            let is_recent = answer.sent_ns.saturating_sub(query.sent_ns) <= UNANSWERED_NS;
            query.peers.pid == answer.peers.pid
                && query.sent_ns < answer.sent_ns
                && is_recent
                && question(message(query)).as_ref() == Some(asked)
        });
        earlier.map(|(_, query)| query.sent_ns).min().unwrap_or(answer.sent_ns)
    }

    /// Looks at the queries that have no answer, at `now_ns`.
    pub fn look(&mut self, now_ns: u64) -> Waiting {
        let all: Vec<_> = self.queries.iter().filter_map(Result::ok).collect();
        let mut waiting = Waiting::default();
        let flooding = (all.len() > MAX_QUERIES as usize / 2).then(|| whose_most(&all)).flatten();
        for (id, query) in all {
            let is_old = now_ns.saturating_sub(query.sent_ns) > UNANSWERED_NS;
            if self.own.have_asked(&query.peers) {
                // Nobody waits for it; it may stay.
            } else if is_old && waiting.unanswered.len() < MAX_UNANSWERED {
                // One that is not there any more was answered in this moment.
                if self.queries.remove(&id).is_ok() {
                    waiting.unanswered.push((id, query));
                }
            } else if flooding == Some(query.peers.pid) {
                waiting.evicted += u64::from(self.queries.remove(&id).is_ok());
            } else {
                waiting.still.push((id, query));
            }
        }
        waiting
    }
}

/// The process that has most of these queries.
fn whose_most(all: &[(QueryId, Query)]) -> Option<u32> {
    let mut counts = Counts::<u32, usize>::new();
    for (_, query) in all {
        *counts.entry(query.peers.pid).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(pid, _)| pid)
}

/// How a query begins.
pub fn message(query: &Query) -> &[u8] {
    let bytes = usize::try_from(query.bytes).unwrap_or(usize::MAX);
    &query.message[..bytes.min(query.message.len())]
}
