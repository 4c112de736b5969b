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

/// A query, and what names it.
type Sent = (QueryId, Query);

/// See [`da_ebpf_common::dns`].
pub struct DnsMaps {
    /// `DNS_ANSWERS`.
    pub answers: RingBuf<MapData>,
    /// `DNS_QUERIES`.
    pub queries: HashMap<MapData, QueryId, Query>,
    /// Whose queries nobody waits for.
    pub own: OwnThreads,
    /// The queries that had no answer when they were last needed in this turn of the reader's; none of very many.
    pub snapshot: Option<Vec<Sent>>,
}

/// What becomes of the queries that have no answer.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Those that have none yet.
    pub still: Vec<Sent>,
    /// Those that have had none for too long: they are not followed any more.
    pub unanswered: Vec<Sent>,
    /// Those of whoever has most of them, which are not followed any more because there is little room.
    pub evicted: Vec<Sent>,
    /// Old ones of this process's own.
    own: Vec<QueryId>,
}

impl DnsMaps {
    /// The reader takes another turn.
    pub fn begin_turn(&mut self) {
        self.snapshot = None;
    }

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

    /// When a question was first asked to which there is an answer now: see [`first_asked_ns`].
    pub fn asked_first_ns(&mut self, answer: &Answer, asked: &Question, since_ns: u64) -> u64 {
        let queries = &self.queries;
        let waiting = self.snapshot.get_or_insert_with(|| {
            let all = queries.iter().take(MAX_LOOKED_AT + 1).filter_map(Result::ok);
            let all: Vec<_> = all.collect();
            if all.len() > MAX_LOOKED_AT { Vec::new() } else { all }
        });
        first_asked_ns(waiting, answer, asked, since_ns)
    }

    /// Looks at the queries that have no answer, at `now_ns`, and takes out those that nobody waits for any more.
    pub fn look(&mut self, now_ns: u64) -> Waiting {
        let all: Vec<_> = self.queries.iter().filter_map(Result::ok).collect();
        let mut waiting = sorted(all, now_ns, |query| self.own.have_asked(&query.peers));
        // One that is not there any more was answered in this moment.
        waiting.unanswered.retain(|(id, _)| self.queries.remove(id).is_ok());
        waiting.evicted.retain(|(id, _)| self.queries.remove(id).is_ok());
        waiting.own.retain(|id| self.queries.remove(id).is_ok());
        waiting
    }
}

/// When the question was first asked to which this is the answer, after `since_ns`, when it was last answered: resolvers
/// that ask another server do so from another socket, and the query before stays without an answer. It was sent by the
/// same thread, or to another server.
fn first_asked_ns(waiting: &[Sent], answer: &Answer, asked: &Question, since_ns: u64) -> u64 {
    let is_earlier = |query: &Query| {
        let is_recent = answer.sent_ns.saturating_sub(query.sent_ns) <= UNANSWERED_NS;
        let (peers, other) = (&answer.peers, &query.peers);
        let is_same = other.thread == peers.thread || other.remote_address != peers.remote_address;
        other.pid == peers.pid
            && is_same
            && query.sent_ns < answer.sent_ns
            && query.sent_ns > since_ns
            && is_recent
            && question(message(query)).as_ref() == Some(asked)
    };
    let earlier = waiting.iter().map(|(_, query)| query).filter(|query| is_earlier(query));
    earlier.map(|query| query.sent_ns).min().unwrap_or(answer.sent_ns)
}

/// What is to become of each of them.
fn sorted(all: Vec<Sent>, now_ns: u64, is_own: impl Fn(&Query) -> bool) -> Waiting {
    let mut waiting = Waiting::default();
    let flooding = (all.len() > MAX_QUERIES as usize / 2).then(|| whose_most(&all)).flatten();
    for (id, query) in all {
        let is_old = now_ns.saturating_sub(query.sent_ns) > UNANSWERED_NS;
        match (is_own(&query), is_old) {
            (true, true) => waiting.own.push(id),
            (true, false) => {}
            (false, true) if waiting.unanswered.len() < MAX_UNANSWERED => {
                waiting.unanswered.push((id, query));
            }
            (false, _) if flooding == Some(query.peers.pid) => waiting.evicted.push((id, query)),
            (false, _) => waiting.still.push((id, query)),
        }
    }
    waiting
}

/// The process that has most of these queries.
fn whose_most(all: &[Sent]) -> Option<u32> {
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

#[cfg(test)]
mod tests {
    use da_ebpf_common::dns::MAX_QUESTION_BYTES;
    use da_ebpf_common::peers::Peers;
    use zerocopy::FromZeros;

    use super::*;

    const MS: u64 = 1_000_000;
    const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";

    fn peers(thread: u32, server: u8) -> Peers {
        let mut peers = Peers::new_zeroed();
        (peers.pid, peers.thread) = (7, thread);
        peers.remote_address[..4].copy_from_slice(&[127, 0, 0, server]);
        peers
    }

    fn query(peers: Peers, sent_ms: u64) -> Sent {
        let mut message = [0; MAX_QUESTION_BYTES];
        message[..QUESTION.len()].copy_from_slice(QUESTION);
        let id = QueryId { sock: sent_ms, number: peers.thread, reserved: 0 };
        (id, Query { peers, sent_ns: sent_ms * MS, bytes: QUESTION.len() as u64, message })
    }

    fn first_ms(waiting: &[Sent], since_ms: u64) -> u64 {
        let mut answer = Answer::new_zeroed();
        (answer.peers, answer.sent_ns) = (peers(7, 1), 5_000 * MS);
        let asked = question(QUESTION).expect("a question");
        first_asked_ns(waiting, &answer, &asked, since_ms * MS) / MS
    }

    #[test]
    fn a_look_up_begins_with_the_query_to_a_server_that_did_not_answer() {
        assert_eq!(first_ms(&[query(peers(7, 3), 1_000)], 0), 1_000);
        assert_eq!(first_ms(&[query(peers(8, 3), 1_000)], 0), 1_000, "whatever thread");
        assert_eq!(first_ms(&[query(peers(7, 1), 1_000)], 0), 1_000, "the same, once more");
        assert_eq!(first_ms(&[query(peers(8, 1), 1_000)], 0), 5_000, "another thread's look-up");
        assert_eq!(first_ms(&[query(peers(7, 3), 1_000)], 2_000), 5_000, "answered since then");
        assert_eq!(first_ms(&[query(peers(7, 3), 6_000)], 0), 5_000, "later");
        let stranger = Peers { pid: 9, ..peers(7, 3) };
        assert_eq!(first_ms(&[query(stranger, 1_000)], 0), 5_000);
    }

    #[test]
    fn queries_wait_for_their_time_and_whoever_floods_loses_them() {
        let now_ns = UNANSWERED_NS + 2_000 * MS;
        let waiting =
            sorted(vec![query(peers(1, 1), 1_000), query(peers(2, 1), 3_000)], now_ns, |_| false);
        assert_eq!((waiting.unanswered.len(), waiting.still.len()), (1, 1));
        let own =
            sorted(vec![query(peers(1, 1), 1_000), query(peers(2, 1), 3_000)], now_ns, |_| true);
        assert_eq!((own.own.len(), own.unanswered.len(), own.still.len()), (1, 0, 0));
        let others = Peers { pid: 9, ..peers(1, 1) };
        let many = (0..MAX_QUERIES / 2).map(|thread| query(peers(thread, 1), 3_000));
        let waiting = sorted(many.chain([query(others, 3_000)]).collect(), now_ns, |_| false);
        assert_eq!(waiting.evicted.len(), MAX_QUERIES as usize / 2);
        assert_eq!(waiting.still.len(), 1, "the others'");
        let many = (0..MAX_QUERIES / 2).map(|thread| query(peers(thread, 1), 3_000));
        assert_eq!(sorted(many.collect(), now_ns, |_| false).evicted.len(), 0);
    }
}
