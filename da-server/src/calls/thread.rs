//! The threads of calls: neither a turn nor the kernel view waits for them.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::correlator::{Correlator, Round};
use super::file_writer::{CallFileError, CallFileWriter};
use super::metrics::CallMetrics;
use super::observed::{Now, ObservedCalls};
use super::{CallHistory, CallsConfig, slow};
use crate::clock::{Clock, own_pid};
use crate::kernel::{LatestUnderWay, Observation, Settlements};
use crate::metrics::Registry;
use crate::provider::{CallIds, CallReport, CallReports};
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
    /// What it sees under way.
    pub under_way: LatestUnderWay,
}

impl KernelView {
    /// The kernel view's end, and ours; what finds no room is lost, and counted by whoever sends it.
    #[must_use]
    pub fn channel(
        settlements: Settlements,
        under_way: LatestUnderWay,
    ) -> (SyncSender<Observation>, Self) {
        let (sender, observations) = sync_channel(MAX_OBSERVATIONS);
        (sender, Self { observations, settlements, under_way })
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
        let file = CallFileWriter::start(config.file.as_deref(), config.file_megabytes, registry)?;
        Self::start_at(Clock::default(), own_pid(), config, registry, kernel, file)
    }

    /// The same of a recording, by its clock, and without `calls.file`. Which process is its own shows only as its
    /// calls are joined.
    ///
    /// # Errors
    /// As above.
    pub fn replay(
        clock: Clock,
        config: &CallsConfig,
        registry: &Registry,
        kernel: KernelView,
    ) -> Result<Self, StartError> {
        Self::start_at(clock, None, config, registry, Some(kernel), None)
    }

    fn start_at(
        clock: Clock,
        own_pid: Option<u32>,
        config: &CallsConfig,
        registry: &Registry,
        kernel: Option<KernelView>,
        file: Option<CallFileWriter>,
    ) -> Result<Self, StartError> {
        let metrics = CallMetrics::register(registry)?;
        let (reports, finished) = CallReports::channel(MAX_REPORTS, metrics.dropped());
        let under_way = kernel.as_ref().map(|kernel| kernel.under_way.clone()).unwrap_or_default();
        let history = CallHistory::new(config.bounds()).with(under_way).written_by(file);
        let history = Arc::new(history);
        let correlator_thread = CorrelatorThread {
            finished,
            kernel,
            correlator: Correlator::new(config.grace.as_nanos() as u64, own_pid),
            observed: ObservedCalls::new(reports.ids()),
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

/// Begins to make calls of all that `kernel` sees, none of which is this process's. The thread ends with the kernel
/// view.
///
/// # Errors
/// A family is already registered, or no thread could be had.
pub fn observe(
    config: &CallsConfig,
    registry: &Registry,
    kernel: KernelView,
) -> Result<Observed, StartError> {
    let file = CallFileWriter::start(config.file.as_deref(), config.file_megabytes, registry)?;
    let history = CallHistory::new(config.bounds()).with(kernel.under_way.clone());
    let history = Arc::new(history.written_by(file));
    let (calls, added) = (ObservedCalls::new(CallIds::default()), Arc::clone(&history));
    let thread = std::thread::Builder::new().name("da-calls".to_owned());
    let thread = thread.spawn(move || observe_until_end(&kernel, calls, &added))?;
    Ok(Observed { history, thread })
}

/// Calls of which the kernel view alone tells.
#[derive(Debug)]
pub struct Observed {
    /// The latest and the slowest.
    pub history: Arc<CallHistory>,
    /// Ends when there is no kernel view any more.
    pub thread: JoinHandle<()>,
}

fn observe_until_end(kernel: &KernelView, mut calls: ObservedCalls, history: &CallHistory) {
    let clock = Clock::default();
    loop {
        match kernel.observations.recv_timeout(POLL_INTERVAL * 4) {
            Ok(seen) => {
                let now = now(clock);
                calls.observed(seen, now);
                kernel.observations.try_iter().for_each(|seen| calls.observed(seen, now));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        calls.take_over(now(clock)).into_iter().for_each(|call| history.add(Arc::new(call)));
    }
    calls.take_all(now(clock)).into_iter().for_each(|call| history.add(Arc::new(call)));
}

fn now(clock: Clock) -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { now_ns: clock.now_ns(), unix_ms: since_epoch.as_millis() as u64 }
}

/// Why the thread can't be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A family is already registered.
    #[error("can't register the metrics of calls: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The operating system gave no thread.
    #[error("can't start a thread for calls: {0}")]
    Thread(#[from] io::Error),
    /// Calls can't be written down.
    #[error(transparent)]
    File(#[from] CallFileError),
}

struct CorrelatorThread {
    finished: Receiver<CallReport>,
    kernel: Option<KernelView>,
    correlator: Correlator,
    observed: ObservedCalls,
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
        // Nobody reports any more, and nothing more is waited for.
        self.kernel = None;
        self.round();
        let foreign = self.observed.take_all(now(self.clock));
        foreign.into_iter().for_each(|call| self.history.add(Arc::new(call)));
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
        let now = now(self.clock);
        loop {
            match kernel.observations.try_recv() {
                Ok(seen) if self.correlator.is_foreign(seen.pid) => {
                    self.observed.observed(seen, now);
                }
                Ok(seen) => self.correlator.observed(seen),
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
        let foreign = self.observed.take_over(now(self.clock));
        foreign.into_iter().for_each(|call| self.history.add(Arc::new(call)));
    }
}
