//! The thread that writes finished calls into `calls.file`. Nobody waits for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use prometheus::{IntCounter, IntCounterVec, Opts};

use super::Update;
use super::file::CallFile;
use crate::metrics::Registry;

/// Finished calls that may wait to be written.
const MAX_WAITING: usize = 4_096;

/// What became of a call: label value of `call_file_calls_total{result}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileOutcome {
    /// It is in the file.
    Written,
    /// Too many others waited to be written.
    Skipped,
    /// It could not be written.
    Failed,
}

impl FileOutcome {
    const ALL: [Self; 3] = [Self::Written, Self::Skipped, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// Why calls can't be written down.
#[derive(Debug, thiserror::Error)]
pub enum CallFileError {
    /// The family is already registered.
    #[error("can't register the metrics of calls.file: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The file can't be used.
    #[error("calls.file: can't open {}: {source}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system gave no thread.
    #[error("can't start the thread that writes calls: {0}")]
    Thread(#[source] io::Error),
}

/// Takes finished calls for the file.
#[derive(Debug)]
pub struct CallFileWriter {
    waiting: SyncSender<Arc<Update>>,
    skipped: IntCounter,
}

impl CallFileWriter {
    /// Registers the family and, if there is to be a file, begins to write into it. With the one before it, it has
    /// so many MiB at most.
    ///
    /// # Errors
    /// The family is already registered, the file can't be opened, or no thread could be had.
    pub fn start(
        file: Option<&Path>,
        megabytes: u64,
        registry: &Registry,
    ) -> Result<Option<Self>, CallFileError> {
        let counts = IntCounterVec::new(
            Opts::new(
                "call_file_calls_total",
                "Finished calls for calls.file, by what became of them; all 0 where none is configured.",
            ),
            &["result"],
        )?;
        registry.register(Box::new(counts.clone()))?;
        let [written, skipped, failed] =
            FileOutcome::ALL.map(|result| counts.with_label_values(&[result.as_str()]));
        let Some(path) = file else { return Ok(None) };
        let file = CallFile::open(path.to_owned(), megabytes << 20)
            .map_err(|source| CallFileError::Open { path: path.to_owned(), source })?;
        let (waiting, calls) = sync_channel(MAX_WAITING);
        let thread = std::thread::Builder::new().name("da-call-file".to_owned());
        let write = move || write_all(file, &calls, &written, &failed);
        thread.spawn(write).map_err(CallFileError::Thread)?;
        Ok(Some(Self { waiting, skipped }))
    }

    /// Has a call written, unless too many are waiting for that.
    pub fn take(&self, update: &Arc<Update>) {
        if self.waiting.try_send(Arc::clone(update)).is_err() {
            self.skipped.inc();
        }
    }
}

fn write_all(
    mut file: CallFile,
    calls: &Receiver<Arc<Update>>,
    written: &IntCounter,
    failed: &IntCounter,
) {
    let mut is_failing = false;
    for update in calls {
        // Where it is none, the log says so.
        let Some(json) = update.json() else {
            failed.inc();
            continue;
        };
        match file.write(json) {
            Ok(()) => {
                written.inc();
                if is_failing {
                    tracing::info!("calls are written to calls.file again");
                }
                is_failing = false;
            }
            Err(error) => {
                failed.inc();
                if !is_failing {
                    tracing::error!(%error, "calls can't be written to calls.file; each one is tried");
                }
                is_failing = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::calls::file::Kept;
    use crate::calls::{Bounds, CallHistory, sample_call};
    use crate::metrics::Metrics;

    fn value(metrics: &Metrics, result: &str) -> u64 {
        let series = format!("digital_actors_call_file_calls_total{{result=\"{result}\"}} ");
        let text = metrics.expose().expect("encodes");
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.expect("the series").parse().expect("a number")
    }

    #[test]
    fn every_call_of_a_history_is_in_the_file_and_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.jsonl");
        let metrics = Metrics::new().expect("metrics");
        let writer = CallFileWriter::start(Some(&path), 1, metrics.registry()).expect("starts");
        let history = CallHistory::new(Bounds::default()).written_by(writer);
        (1..=100).for_each(|id| history.add(Arc::new(sample_call(id, id))));
        let deadline = Instant::now() + Duration::from_secs(60);
        while value(&metrics, "written") < 100 {
            assert!(Instant::now() < deadline, "{}", value(&metrics, "written"));
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((value(&metrics, "skipped"), value(&metrics, "failed")), (0, 0));
        let ids = Kept::read(&path).expect("read").calls.into_iter().map(|call| call.id);
        assert!(ids.eq(1..=100));
    }

    #[test]
    fn a_file_that_cant_be_had_is_named_and_without_one_all_is_0() {
        let metrics = Metrics::new().expect("metrics");
        let none = CallFileWriter::start(None, 1, metrics.registry());
        assert!(none.expect("no error").is_none());
        assert_eq!(value(&metrics, "written"), 0);
        let nowhere = Some(Path::new("/nowhere/calls"));
        let metrics = Metrics::new().expect("metrics");
        let error = CallFileWriter::start(nowhere, 1, metrics.registry()).expect_err("refused");
        assert!(error.to_string().contains("/nowhere/calls"), "{error}");
    }

    #[test]
    fn what_finds_no_room_to_wait_is_counted() {
        let (waiting, _calls) = sync_channel(1);
        let writer = CallFileWriter {
            waiting,
            skipped: IntCounter::new("skipped", "skipped").expect("a counter"),
        };
        let history = CallHistory::new(Bounds::default());
        let mut updates = history.subscribe();
        history.add(Arc::new(sample_call(1, 1)));
        let update = updates.try_recv().expect("a call");
        (0..3).for_each(|_| writer.take(&update));
        assert_eq!(writer.skipped.get(), 2);
    }
}
