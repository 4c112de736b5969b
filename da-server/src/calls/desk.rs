//! The thread to which both halves come: neither a turn nor the kernel view waits for it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use super::joiner::{Joiner, Round};
use super::metrics::CallMetrics;
use super::{CallsConfig, Recent, slow};
use crate::clock::Clock;
use crate::kernel::{Observation, Settlements};
use crate::metrics::Registry;
use crate::provider::{CallReport, CallReports};
use crate::recording::Recorder;

/// How often both halves are looked at.
const TICK: Duration = Duration::from_millis(50);
/// Calls that may wait to be looked at: some seconds of many.
const MAX_REPORTS: usize = 4_096;

/// What comes from the kernel view, and what can be asked of it.
#[derive(Debug)]
pub struct KernelView {
    /// What it saw.
    pub observations: Receiver<Observation>,
    /// How to have it say earlier what a connection owes.
    pub settlements: Settlements,
}

/// All calls of the process.
#[derive(Debug)]
pub struct Calls {
    /// The latest and the slowest.
    pub recent: Arc<Recent>,
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
        let recent = Arc::new(Recent::new(config.bounds()));
        let desk = Desk {
            finished,
            kernel,
            joiner: Joiner::new(config.grace.as_nanos() as u64),
            metrics,
            slow_ns: config.slow.as_nanos() as u64,
            recent: Arc::clone(&recent),
            clock,
            recorder: config.recorder.clone(),
        };
        let thread = std::thread::Builder::new().name("da-calls".to_owned());
        let thread = thread.spawn(move || desk.work())?;
        Ok(Self { recent, reports, thread })
    }
}

/// Why calls can't be looked into.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A family is already registered.
    #[error("can't register the metrics of calls: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The operating system gave no thread.
    #[error("can't start the thread that joins calls: {0}")]
    Thread(#[from] io::Error),
}

struct Desk {
    finished: Receiver<CallReport>,
    kernel: Option<KernelView>,
    joiner: Joiner,
    metrics: CallMetrics,
    slow_ns: u64,
    recent: Arc<Recent>,
    clock: Clock,
    recorder: Option<Recorder>,
}

/// A finished call as an entry of a recording.
#[derive(Serialize)]
struct Recorded<'a> {
    call: &'a CallReport,
}

impl Desk {
    fn work(mut self) {
        while self.take() {
            self.round();
            std::thread::sleep(TICK);
        }
        // Nobody reports any more, and nobody waits for the rest.
        self.kernel = None;
        self.round();
    }

    /// Takes what both sides said; whether more can come.
    fn take(&mut self) -> bool {
        self.take_from_kernel();
        loop {
            match self.finished.try_recv() {
                Ok(report) => {
                    if let Some(recorder) = &self.recorder {
                        recorder.write(&Recorded { call: &report });
                    }
                    self.joiner.reported(report);
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
                Ok(observation) => self.joiner.observed(observation),
                Err(TryRecvError::Empty) => return,
                // Its reader has ended.
                Err(TryRecvError::Disconnected) => break,
            }
        }
        self.kernel = None;
    }

    fn round(&mut self) {
        let Round { calls, late, owed } =
            self.joiner.round(self.clock.now_ns(), self.kernel.is_some());
        if let Some(kernel) = &self.kernel {
            for (connection, over_ns) in owed {
                // Refused, it is asked again.
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
            self.recent.add(Arc::new(call));
        }
    }
}
