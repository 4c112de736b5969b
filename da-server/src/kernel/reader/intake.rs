//! What the reader does with what it takes out: events and records go to the tracker, its verdicts back
//! to the programs, and its observations to whoever follows single connections.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use da_ebpf_common::connection::Connection;
use da_ebpf_common::event::ConnectionId;

use super::connections_map::{ConnectionsMap, Forgotten};
use super::recorded::{Recorded, SettledRecord};
use super::settlement::Settlement;
use crate::clock::monotonic_ns;
use crate::kernel::dns::maps::{DnsMaps, MAX_BATCH as MAX_BATCH_OF_ANSWERS};
use crate::kernel::dns::message::Question;
use crate::kernel::event::Event;
use crate::kernel::existing::ExistingConnections;
use crate::kernel::leftover::Leftovers;
use crate::kernel::observation::Observation;
use crate::kernel::self_metrics::losses::{Loss, LossMetrics};
use crate::kernel::self_metrics::{EventMetrics, StatusMetrics};
use crate::kernel::syscall::tier::Tier;
use crate::kernel::tracker::{Over, Tracker, Verdict};
use crate::kernel::under_way::UnderWayOutput;
use crate::recording::Recorder;

/// Events that are taken before the reader looks whether something else is due.
const MAX_BATCH: usize = 4_096;

/// Where too many connections say nothing, those that have done so for longer are let go of.
const SILENT_PATIENCE: Duration = Duration::from_secs(10);

/// Where events go.
pub struct Intake {
    /// Where verdicts go, and where records are read.
    pub connections: ConnectionsMap,
    /// DNS queries and answers.
    pub dns: DnsMaps,
    /// Records that nobody has removed; none where the kernel can't tell.
    pub leftovers: Option<Leftovers>,
    /// What makes measurements of events.
    pub tracker: Tracker,
    /// What times system calls, if anything does.
    pub tier: Option<Tier>,
    /// What was read.
    pub event_metrics: EventMetrics,
    /// What was lost.
    pub losses: LossMetrics,
    /// Who wants to hear of every measurement.
    pub subscriber: Option<SyncSender<Observation>>,
    /// Where what is under way goes.
    pub under_way: UnderWayOutput,
    /// Where events and settled records are written down, if anywhere.
    pub recorder: Option<Recorder>,
    /// Answers to DNS queries that this turn may still take.
    pub dns_left: usize,
    /// Events taken since a batch last ended.
    pub taken: usize,
    /// Events that the ring buffer has room for, at the most.
    pub most_in_ring: usize,
}

impl Intake {
    /// Takes what is there, but not so much that nothing else comes to its turn; whether there may
    /// be more.
    pub fn take_batch(&mut self, events: &mut RingBuf<MapData>) -> bool {
        for _ in 0..MAX_BATCH {
            let Some(entry) = events.next() else {
                self.taken = 0;
                self.batch_ends();
                return false;
            };
            if let Some(recorder) = &self.recorder {
                recorder.write(&Recorded::Event(entry.to_vec()));
            }
            match Event::read(&entry) {
                Some(event) => self.take(&event),
                None => self.losses.count(Loss::MalformedEvent),
            }
            drop(entry);
            self.taken += 1;
        }
        // Under an endless load it is over with what was in the ring buffer when it began.
        if self.taken >= self.most_in_ring {
            self.taken = 0;
            self.batch_ends();
        }
        true
    }

    /// Takes the answers to DNS queries that are there, as far as this turn has room for more.
    pub fn take_dns_answers(&mut self) {
        while self.dns_left > 0
            && let Some((answer, message)) = self.dns.next_answer()
        {
            self.dns_left -= 1;
            let dns = &mut self.dns;
            let first_ns =
                |asked: &Question, since_ns| dns.asked_first_ns(&answer, asked, since_ns);
            let from_ns = self.tracker.dns_answered(&answer, &message, first_ns);
            if let (Some(recorder), Some(from_ns)) = (&self.recorder, from_ns) {
                recorder.write(&Recorded::dns_answer(&answer, &message, from_ns));
            }
        }
    }

    /// The reader takes another turn.
    pub fn begin_turn(&mut self) {
        self.dns_left = MAX_BATCH_OF_ANSWERS;
        self.dns.begin_turn();
    }

    /// Looks at the DNS queries that have no answer.
    pub fn look_at_dns(&mut self) {
        let waiting = self.dns.look(monotonic_ns());
        self.tracker.dns_waits(&waiting);
    }

    fn take(&mut self, event: &Event<'_>) {
        if matches!(event, Event::FirstBytes(..) | Event::Closed(_)) {
            // What was looked up before the connection began is there by now.
            self.take_dns_answers();
        }
        self.event_metrics.count(event.kind());
        let verdict = self.tracker.take(event);
        self.obey(verdict);
        let gone = self.tracker.take_gone_series();
        if let Some(tier) = &mut self.tier {
            tier.forget(&gone);
            tier.take(event, verdict, self.tracker.attributed());
        }
        for id in self.tracker.strangers() {
            self.meet(id);
        }
        publish(self.subscriber.as_ref(), &mut self.tracker, &self.losses);
    }

    fn obey(&mut self, verdict: Verdict) {
        if let Verdict::Forget(id) = verdict
            && self.connections.forget(id) == Forgotten::Race
        {
            self.losses.count(Loss::VerdictRace);
        }
    }

    /// Looks once what an unknown connection is: it would send its events for as long as it lives.
    fn meet(&mut self, id: ConnectionId) {
        let Some(record) = self.connections.record(id) else { return };
        let verdict = self.tracker.met(id, &record);
        self.obey(verdict);
        let gone = self.tracker.take_gone_series();
        if let Some(tier) = &mut self.tier {
            tier.forget(&gone);
            tier.judged(verdict, self.tracker.attributed());
        }
    }

    /// The next few connections that are older than the programs; hands the rest back.
    pub fn take_existing(
        &mut self,
        rest: Option<ExistingConnections>,
    ) -> Option<ExistingConnections> {
        let mut rest = rest?;
        let batch = match rest.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => return Some(rest),
            Err(error) => {
                tracing::warn!(%error, "can't see all connections older than this process");
                self.losses.count(Loss::OlderUnread);
                Vec::new()
            }
        };
        for existing in &batch {
            self.take(&Event::Existing(*existing));
        }
        if batch.is_empty() {
            self.tracker.existing_end();
            return None;
        }
        Some(rest)
    }

    /// What connections owe of which someone knows that the exchange is over.
    pub fn settle(&mut self, settlements: &Receiver<Settlement>) {
        for Settlement { connection, over_ns } in settlements.try_iter() {
            if let Some(record) = self.connections.record(connection) {
                if let Some(recorder) = &self.recorder {
                    let settled = SettledRecord::new(connection, &record, over_ns);
                    recorder.write(&Recorded::Settled(settled));
                }
                self.tracker.settle(connection, &record, Over::Read(over_ns));
                publish(self.subscriber.as_ref(), &mut self.tracker, &self.losses);
            }
        }
    }

    /// What idle connections owe, and what nobody has removed.
    pub fn sweep(&mut self, silence: Duration) {
        let since_ns = monotonic_ns().saturating_sub(silence.as_nanos() as u64);
        self.remove_leftovers(since_ns);
        let silent_for_ns = SILENT_PATIENCE.as_nanos() as u64;
        let evicted = self.connections.evict_silent(monotonic_ns().saturating_sub(silent_for_ns));
        self.losses.add(Loss::SilentConnection, evicted);
        let tracked = RefCell::new(HashSet::new());
        self.tracker.sweep(since_ns, |id| {
            let record = self.connections.record(id)?;
            tracked.borrow_mut().insert(id);
            Some(record)
        });
        publish(self.subscriber.as_ref(), &mut self.tracker, &self.losses);
        if let Some(tier) = &mut self.tier {
            // Those that the tracker does not know yet are still to be looked up.
            let tracked = tracked.into_inner();
            tier.sweep(|id| tracked.contains(&id) || self.connections.record(id).is_some());
        }
    }

    /// What the programs follow of connections that are over is removed, and said to be lost.
    fn remove_leftovers(&mut self, silent_since_ns: u64) {
        let Some(leftovers) = &self.leftovers else { return };
        let found = match leftovers.find() {
            Ok(found) => found,
            Err(error) => {
                let what = "connections whose end was missed are not looked for any more";
                tracing::error!(%error, "{what}");
                self.leftovers = None;
                return;
            }
        };
        for id in found {
            // Gone where it was removed in this moment, by whomever.
            let Some(record) = self.connections.record(id) else { continue };
            match self.connections.forget(id) {
                Forgotten::Yes => {
                    self.losses.count(Loss::UnseenClose);
                    self.tracker.closed_unseen(id, &record, silent_since_ns);
                }
                Forgotten::Race => self.losses.count(Loss::VerdictRace),
                Forgotten::Gone | Forgotten::Refused => {}
            }
        }
    }

    /// Looks at what is under way.
    pub fn look_under_way(&mut self, silence: Duration) {
        let (now_ns, silence_ns) = (monotonic_ns(), silence.as_nanos() as u64);
        let tracker = &self.tracker;
        let mut seen = HashSet::new();
        let under_way = |(id, record): (ConnectionId, Connection)| {
            seen.insert(id).then(|| tracker.under_way(id, &record, now_ns, silence_ns)).flatten()
        };
        self.under_way.set(now_ns, self.connections.all().filter_map(under_way).collect());
    }

    fn batch_ends(&mut self) {
        self.tracker.batch_ends();
        if let Some(tier) = &mut self.tier {
            tier.batch_ends();
        }
    }

    /// What the view costs.
    pub fn look(&mut self, reader_cpu: Duration, ebpf: &mut Ebpf, status: &StatusMetrics) {
        if let Some(tier) = &mut self.tier {
            tier.look(monotonic_ns(), reader_cpu, ebpf, status);
        }
    }
}

fn publish(
    subscriber: Option<&SyncSender<Observation>>,
    tracker: &mut Tracker,
    losses: &LossMetrics,
) {
    for observation in tracker.observations() {
        let Some(subscriber) = subscriber else { continue };
        if let Err(TrySendError::Full(_)) = subscriber.try_send(observation) {
            losses.count(Loss::SubscriberFull);
        }
    }
}
