//! Takes events out of the ring buffer, on a thread of its own: neither the game nor the programs
//! ever wait for it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use da_ebpf_common::event::Header;
use da_ebpf_common::program::Program;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::connections_map::{ConnectionsMap, Forgotten};
use super::event::Event;
use super::existing::ExistingConnections;
use super::leftover::Leftovers;
use super::lookups::Lookups;
use super::losses::{Loss, LossMetrics};
use super::meters::ReaderCpu;
use super::observation::Observation;
use super::replacement::Replacement;
use super::self_metrics::{EventMetrics, StatusMetrics};
use super::settlement::Settlement;
use super::status::{ProgramState, Reason};
use super::tier::Tier;
use super::tracker::{Tracker, Verdict};
use crate::clock::monotonic_ns;

/// How often the ring buffer is looked at. The programs wake the reader only when the ring fills up:
/// a wake-up per event would cost them more than everything else they do.
const TICK: Duration = Duration::from_millis(50);

/// How long older connections wait for the first look-ups, which tell whose they are.
const LOOKUPS_PATIENCE: Duration = Duration::from_secs(2);

/// How often the view's own cost is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Events that are taken before the reader looks whether something else is due.
const MAX_BATCH: usize = 4_096;

/// How often the records of all connections of interest are looked at: for exchanges that idle ones
/// owe, and for those whose end was lost with a full ring buffer.
const SWEEP: Duration = Duration::from_secs(10);

/// Everything the reading thread owns.
pub struct Reader {
    /// Keeps the programs attached for as long as they are read.
    pub ebpf: Ebpf,
    /// Where events come from.
    pub events: RingBuf<MapData>,
    /// Where verdicts go.
    pub connections: ConnectionsMap,
    /// Where other endpoints come from.
    pub replacements: mpsc::Receiver<Replacement>,
    /// Who knows that an exchange is over.
    pub settlements: Receiver<Settlement>,
    /// Where the programs' diagnostics come from.
    pub logger: Option<EbpfLogger<&'static dyn log::Log>>,
    /// Connections older than the programs; none where the kernel can't tell.
    pub existing: Option<ExistingConnections>,
    /// Records that nobody has removed; none where the kernel can't tell.
    pub leftovers: Option<Leftovers>,
    /// What endpoints' hosts are looked up to.
    pub lookups: Lookups,
    /// What makes measurements of events.
    pub tracker: Tracker,
    /// What times system calls, if anything does.
    pub tier: Option<Tier>,
    /// What reading costs.
    pub reader_cpu: ReaderCpu,
    /// Size of the ring buffer.
    pub ring_bytes: u32,
    /// An answered exchange is over when nothing has happened for so long.
    pub silence: Duration,
    /// What was read.
    pub event_metrics: EventMetrics,
    /// What was lost.
    pub losses: LossMetrics,
    /// Whether there is a kernel view: none any more when the reading ends.
    pub status: StatusMetrics,
    /// Who wants to hear of every measurement; one that is too slow loses some.
    pub subscriber: Option<SyncSender<Observation>>,
}

impl Reader {
    /// Reads until `shutdown`, then what is left, and detaches the programs.
    ///
    /// # Errors
    /// No thread or no runtime could be had.
    pub fn spawn(self, shutdown: CancellationToken) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let end = End(self.status.clone());
        std::thread::Builder::new().name("da-kernel".to_owned()).spawn(move || {
            let _end = end;
            if let Err(error) = runtime.block_on(self.read(shutdown)) {
                tracing::error!(%error, "the kernel view's reader failed: restart to have it back");
            }
            // A look-up may hang for long.
            runtime.shutdown_background();
        })
    }

    async fn read(self, shutdown: CancellationToken) -> io::Result<()> {
        let Self { mut ebpf, events, mut replacements, logger, mut existing, mut lookups, .. } =
            self;
        let mut intake = Intake {
            connections: self.connections,
            leftovers: self.leftovers,
            tracker: self.tracker,
            tier: self.tier,
            event_metrics: self.event_metrics,
            losses: self.losses,
            subscriber: self.subscriber,
            taken: 0,
            most_in_ring: self.ring_bytes as usize / size_of::<Header>(),
        };
        if existing.is_none() {
            intake.tracker.existing_end();
        }
        let logs = tokio::spawn(forward(logger));
        // SAFETY: the ring buffer owns its descriptor, never changes or closes it, and is in turn
        // owned by the `AsyncFd` until this function ends.
        let mut events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) }?;
        let mut tick = tokio::time::interval(TICK);
        let began = Instant::now();
        let (mut swept, mut looked) = (began, began);
        let mut more = false;
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            lookups.begin_if_due(intake.tracker.hosts());
            let looking_for_older =
                existing.is_some() && (lookups.is_idle() || began.elapsed() > LOOKUPS_PATIENCE);
            let ended = tokio::select! {
                _ = tick.tick() => false,
                readable = events.readable_mut() => {
                    readable?.clear_ready();
                    false
                }
                Some(Replacement { endpoints, unlisted, done }) = replacements.recv() => {
                    intake.tracker.replace_endpoints(&endpoints, unlisted);
                    lookups.hasten();
                    // Whoever asked may not be interested any more.
                    let _ = done.send(());
                    false
                }
                Some(answer) = lookups.next() => {
                    intake.tracker.looked_up(&answer.host, answer.addresses);
                    false
                }
                () = shutdown.cancelled() => true,
                () = std::future::ready(()), if more || looking_for_older => false,
            };
            more = intake.take_batch(events.get_mut());
            if !more {
                // Only now: what the ring buffer held came before what the records say.
                intake.settle(&self.settlements);
            }
            if looking_for_older {
                existing = intake.take_existing(existing);
                if existing.is_none() {
                    self.status.set_programs(&[Program::Existing], ProgramState::Finished);
                }
            }
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                intake.look(self.reader_cpu.look(), &mut ebpf, &self.status);
            }
            if swept.elapsed() > SWEEP {
                intake.sweep(self.silence);
                swept = Instant::now();
            }
            if ended {
                break;
            }
        }
        logs.abort();
        // Nothing comes any more once the programs are detached: what is left has an end.
        drop(ebpf);
        while intake.take_batch(events.get_mut()) {}
        Ok(())
    }
}

/// Where events go.
struct Intake {
    connections: ConnectionsMap,
    leftovers: Option<Leftovers>,
    tracker: Tracker,
    tier: Option<Tier>,
    event_metrics: EventMetrics,
    losses: LossMetrics,
    subscriber: Option<SyncSender<Observation>>,
    /// Events taken since a batch last ended.
    taken: usize,
    /// Events that the ring buffer has room for, at the most.
    most_in_ring: usize,
}

impl Intake {
    /// Takes what is there, but not so much that nothing else comes to its turn; whether there may
    /// be more.
    fn take_batch(&mut self, events: &mut RingBuf<MapData>) -> bool {
        for _ in 0..MAX_BATCH {
            let Some(entry) = events.next() else {
                self.taken = 0;
                self.batch_ends();
                return false;
            };
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

    fn take(&mut self, event: &Event<'_>) {
        self.event_metrics.count(event.kind());
        let verdict = self.tracker.take(event);
        if let Verdict::Forget(id) = verdict
            && self.connections.forget(id) == Forgotten::Race
        {
            self.losses.count(Loss::VerdictRace);
        }
        if let Some(tier) = &mut self.tier {
            tier.take(event, verdict, self.tracker.attributed());
        }
        publish(self.subscriber.as_ref(), &mut self.tracker, &self.losses);
    }

    /// The next few connections that are older than the programs; hands the rest back.
    fn take_existing(&mut self, rest: Option<ExistingConnections>) -> Option<ExistingConnections> {
        let mut rest = rest?;
        let batch = rest.next_batch().unwrap_or_else(|error| {
            tracing::warn!(%error, "can't see all connections older than this process");
            self.losses.count(Loss::OlderUnread);
            Vec::new()
        });
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
    fn settle(&mut self, settlements: &Receiver<Settlement>) {
        for Settlement { connection, over_ns } in settlements.try_iter() {
            if let Some(record) = self.connections.record(connection) {
                self.tracker.settle(connection, &record, over_ns);
                publish(self.subscriber.as_ref(), &mut self.tracker, &self.losses);
            }
        }
    }

    fn sweep(&mut self, silence: Duration) {
        let since_ns = monotonic_ns().saturating_sub(silence.as_nanos() as u64);
        self.remove_leftovers(since_ns);
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

    fn batch_ends(&mut self) {
        self.tracker.batch_ends();
        if let Some(tier) = &mut self.tier {
            tier.batch_ends();
        }
    }

    fn look(&mut self, reader_cpu: Duration, ebpf: &mut Ebpf, status: &StatusMetrics) {
        if let Some(tier) = &mut self.tier {
            tier.look(monotonic_ns(), reader_cpu, ebpf, status);
        }
    }
}

/// Says that there is no kernel view any more, however the reading ended.
struct End(StatusMetrics);

impl Drop for End {
    fn drop(&mut self) {
        self.0.unavailable(Reason::ReaderEnded);
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

/// Hands the programs' diagnostics to `log`, and with it to tracing.
async fn forward(logger: Option<EbpfLogger<&'static dyn log::Log>>) -> io::Result<()> {
    let Some(logger) = logger else { return Ok(()) };
    // SAFETY: the logger owns its ring buffer's descriptor, never changes or closes it, and is in
    // turn owned by the `AsyncFd` until this function ends.
    let mut logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }?;
    loop {
        let mut readable = logger.readable_mut().await?;
        readable.get_inner_mut().flush();
        readable.clear_ready();
    }
}
