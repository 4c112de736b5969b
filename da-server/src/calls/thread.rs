//! The correlator's thread: neither a turn nor the kernel view waits for it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use super::correlator::{Correlator, Round};
use super::metrics::CallMetrics;
use super::{CallHistory, CallsConfig, slow};
use crate::clock::Clock;
use crate::kernel::{Observation, Settlements};
use crate::metrics::Registry;
use crate::provider::{CallReport, CallReports};
use crate::recording::Recorder;

/// How often the thread takes what both sides sent.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Finished calls that may wait for the thread: some seconds of heavy load.
const MAX_REPORTS: usize = 4_096;
/// What the kernel view saw that may wait to be joined with calls.
const MAX_OBSERVATIONS: usize = 8_192;

/// What comes from the kernel view, and what can be asked of it.
#[derive(Debug)]
pub struct KernelView {
    /// What the kernel view saw.
    pub observations: Receiver<Observation>,
    /// Asks the kernel view for a connection's pending exchange.
    pub settlements: Settlements,
}

impl KernelView {
    /// The kernel view's end, and ours; what finds no room is lost, and counted by whoever sends it.
    #[must_use]
    pub fn channel(settlements: Settlements) -> (SyncSender<Observation>, Self) {
        let (sender, observations) = sync_channel(MAX_OBSERVATIONS);
        (sender, Self { observations, settlements })
    }
}

/// All calls of the process.
#[derive(Debug)]
pub struct Calls {
    /// The latest and the slowest.
    pub history: Arc<CallHistory>,
    /// Where clients report theirs.
    pub reports: CallReports,
    /// Ends when nobody can report any more.
    pub thread: JoinHandle<()>,
}

impl Calls {
    /// Begins to join calls with what `kernel` sees, if there is a kernel view.
    ///
    /// # Errors
    /// A family is already registered, or no thread could be had.
    pub fn start(
        config: &CallsConfig,
        registry: &Registry,
        kernel: Option<KernelView>,
    ) -> Result<Self, StartError> {
        Self::start_at(Clock::default(), config, registry, kernel)
    }

    /// The same, by another clock than the present's: both halves are of a recording.
    ///
    /// # Errors
    /// As above.
    pub fn start_at(
        clock: Clock,
        config: &CallsConfig,
        registry: &Registry,
        kernel: Option<KernelView>,
    ) -> Result<Self, StartError> {
        let metrics = CallMetrics::register(registry)?;
        let (reports, finished) = CallReports::channel(MAX_REPORTS, metrics.dropped());
        let history = Arc::new(CallHistory::new(config.bounds()));
        let correlator_thread = CorrelatorThread {
            finished,
            kernel,
            correlator: Correlator::new(config.grace.as_nanos() as u64),
            metrics,
            slow_ns: config.slow.as_nanos() as u64,
            history: Arc::clone(&history),
            clock,
            recorder: config.recorder.clone(),
        };
        let thread = std::thread::Builder::new().name("da-calls".to_owned());
        let thread = thread.spawn(move || correlator_thread.run())?;
        Ok(Self { history, reports, thread })
    }
}

/// Why the thread can't be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A family is already registered.
    #[error("can't register the metrics of calls: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The operating system gave no thread.
    #[error("can't start the thread that joins calls: {0}")]
    Thread(#[from] io::Error),
}

struct CorrelatorThread {
    finished: Receiver<CallReport>,
    kernel: Option<KernelView>,
    correlator: Correlator,
    metrics: CallMetrics,
    slow_ns: u64,
    history: Arc<CallHistory>,
    clock: Clock,
    recorder: Option<Recorder>,
}

/// A finished call as an entry of a recording.
#[derive(Serialize)]
struct Recorded<'a> {
    call: &'a CallReport,
}

impl CorrelatorThread {
    fn run(mut self) {
        while self.take() {
            self.round();
            std::thread::sleep(POLL_INTERVAL);
        }
        // Nobody reports any more, and nobody waits for what is left.
        self.kernel = None;
        self.round();
    }

    /// Takes what both sides sent; returns whether more can come.
    fn take(&mut self) -> bool {
        self.take_from_kernel();
        loop {
            match self.finished.try_recv() {
                Ok(report) => {
                    if let Some(recorder) = &self.recorder {
                        recorder.write(&Recorded { call: &report });
                    }
                    self.correlator.reported(report);
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn take_from_kernel(&mut self) {
        let Some(kernel) = &self.kernel else { return };
        loop {
            match kernel.observations.try_recv() {
                Ok(observation) => self.correlator.observed(observation),
                Err(TryRecvError::Empty) => return,
                // The kernel view's reader has ended.
                Err(TryRecvError::Disconnected) => break,
            }
        }
        self.kernel = None;
    }

    fn round(&mut self) {
        let Round { calls, late, owed } =
            self.correlator.round(self.clock.now_ns(), self.kernel.is_some());
        if let Some(kernel) = &self.kernel {
            for (connection, over_ns) in owed {
                // A request that is refused is made again.
                kernel.settlements.ask(connection, over_ns);
            }
        }
        late.into_iter().for_each(|kind| self.metrics.late(kind));
        for call in calls {
            let is_slow = call.duration_ns > self.slow_ns;
            self.metrics.ended(&call, is_slow);
            if is_slow {
                slow::log(&call);
            }
            self.history.add(Arc::new(call));
        }
    }
}
