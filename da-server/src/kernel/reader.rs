//! Takes events out of the ring buffer, on a thread of its own: neither the game nor the programs
//! ever wait for it.

pub(super) mod connections_map;
mod intake;
pub(super) mod recorded;
pub(super) mod replay;
pub(super) mod settlement;
pub(super) mod silent;

use std::io;
use std::sync::mpsc::{Receiver, SyncSender};
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

use self::connections_map::ConnectionsMap;
use self::intake::Intake;
use self::settlement::Settlement;
use super::dns::maps::DnsMaps;
use super::endpoints::lookups::Lookups;
use super::endpoints::replacement::Replacement;
use super::existing::ExistingConnections;
use super::leftover::Leftovers;
use super::load::status::{ProgramState, Reason};
use super::observation::Observation;
use super::self_metrics::losses::LossMetrics;
use super::self_metrics::meters::ReaderCpu;
use super::self_metrics::{EventMetrics, StatusMetrics};
use super::syscall::tier::Tier;
use super::tracker::Tracker;
use super::under_way::UnderWayOutput;
use crate::recording::Recorder;

/// How often the ring buffer is looked at. The programs wake the reader only when the ring fills up:
/// a wake-up per event would cost them more than everything else they do.
const TICK: Duration = Duration::from_millis(50);

/// How long older connections wait for the first look-ups, which tell whose they are.
const LOOKUPS_PATIENCE: Duration = Duration::from_secs(2);

/// How often the view's own cost is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What is under way is looked at more rarely where a look takes more than this part of the budget.
const LOOKS_SHARE_OF_BUDGET: f64 = 0.1;

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
    /// DNS queries and answers.
    pub dns: DnsMaps,
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
    /// What the view may cost, of one CPU.
    pub cpu_budget: f64,
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
    /// Where what is under way goes.
    pub under_way: UnderWayOutput,
    /// Where events and settled records are written down, if anywhere.
    pub recorder: Option<Recorder>,
}

impl Reader {
    /// Reads until `shutdown`, then what is left, and detaches the programs.
    ///
    /// # Errors
    /// No thread or no runtime could be had.
    pub fn spawn(self, shutdown: CancellationToken) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let end = End(self.status.clone(), self.under_way.clone());
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
            dns: self.dns,
            leftovers: self.leftovers,
            tracker: self.tracker,
            tier: self.tier,
            event_metrics: self.event_metrics,
            losses: self.losses,
            subscriber: self.subscriber,
            under_way: self.under_way,
            recorder: self.recorder,
            dns_left: 0,
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
        let (mut swept, mut looked, mut look_under_way_at) = (began, began, began);
        let looks_share = self.cpu_budget * LOOKS_SHARE_OF_BUDGET;
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
                    intake.tracker.looked_up(&answer.host, answer.port, answer.addresses);
                    false
                }
                () = shutdown.cancelled() => true,
                () = std::future::ready(()), if more || looking_for_older => false,
            };
            intake.begin_turn();
            intake.take_dns_answers();
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
                intake.look_at_dns();
            }
            let now = Instant::now();
            if now >= look_under_way_at {
                intake.look_under_way(self.silence);
                look_under_way_at = now + LOOK.max(now.elapsed().div_f64(looks_share));
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

/// Says that there is no kernel view any more, however the reading ended.
struct End(StatusMetrics, UnderWayOutput);

impl Drop for End {
    fn drop(&mut self) {
        self.0.unavailable(Reason::ReaderEnded);
        self.1.end();
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
