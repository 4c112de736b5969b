//! The thread that writes finished calls into `calls.file`. Nobody waits for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use prometheus::{IntCounter, IntCounterVec, Opts};

use super::Update;
use super::file::{CallFile, FileError};
use super::last_work::finish;
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
    /// The operating system gave no thread.
    #[error("can't start the thread that writes calls: {0}")]
    Thread(#[from] std::io::Error),
}

/// Takes finished calls for the file. When it is dropped, those that wait are written first.
#[derive(Debug)]
pub struct CallFileWriter {
    waiting: Option<SyncSender<Arc<Update>>>,
    thread: Option<JoinHandle<()>>,
    skipped: IntCounter,
}

impl CallFileWriter {
    /// Registers the family and, if there is to be a file, begins to write into it. With the one before it, it has
    /// so many MiB at most.
    ///
    /// A file that can't be opened is tried again with each call.
    ///
    /// # Errors
    /// The family is already registered, or no thread could be had.
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
        let file = CallFile::new(path.to_owned(), megabytes << 20);
        let (waiting, calls) = sync_channel(MAX_WAITING);
        let thread = std::thread::Builder::new().name("da-call-file".to_owned());
        let thread = thread.spawn(move || write_all(file, &calls, &written, &failed))?;
        Ok(Some(Self { waiting: Some(waiting), thread: Some(thread), skipped }))
    }

    /// Has a call written, unless too many are waiting for that.
    pub fn take(&self, update: &Arc<Update>) {
        let sent = self.waiting.as_ref().map(|waiting| waiting.try_send(Arc::clone(update)));
        if !matches!(sent, Some(Ok(()))) {
            self.skipped.inc();
        }
    }
}

impl Drop for CallFileWriter {
    fn drop(&mut self) {
        self.waiting = None;
        if let Some(thread) = self.thread.take() {
            finish(thread, "write the last calls");
        }
    }
}

fn write_all(
    mut file: CallFile,
    calls: &Receiver<Arc<Update>>,
    written: &IntCounter,
    failed: &IntCounter,
) {
    // What was wrong the last time, so that the log says it once.
    let mut trouble = file.open().err().map(|error| said(&error));
    for update in calls {
        // Where it is none, the log says so.
        let Some(json) = update.json() else {
            failed.inc();
            continue;
        };
        match file.write(json) {
            Ok(()) => {
                written.inc();
                if trouble.take().is_some() {
                    tracing::info!("calls are written to calls.file again");
                }
            }
            Err(error) => {
                failed.inc();
                if trouble.as_ref() != Some(&error.to_string()) {
                    trouble = Some(said(&error));
                }
            }
        }
    }
}

fn said(error: &FileError) -> String {
    let error = error.to_string();
    tracing::error!("calls.file: {error}; calls are missing in that file until this is fixed");
    error
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::calls::kept::tests::ids;
    use crate::calls::{Bounds, CallHistory, sample_call};
    use crate::metrics::Metrics;

    fn value(metrics: &Metrics, result: &str) -> u64 {
        let series = format!("digital_actors_call_file_calls_total{{result=\"{result}\"}} ");
        let text = metrics.expose().expect("encodes");
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.expect("the series").parse().expect("a number")
    }

    #[test]
    fn every_call_of_a_history_is_in_the_file_when_that_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.jsonl");
        let metrics = Metrics::new().expect("metrics");
        let writer = CallFileWriter::start(Some(&path), 1, metrics.registry()).expect("starts");
        let history = CallHistory::new(Bounds::default()).written_by(writer);
        (1..=100).for_each(|id| history.add(Arc::new(sample_call(id, id))));
        drop(history);
        assert_eq!(["written", "skipped", "failed"].map(|of| value(&metrics, of)), [100, 0, 0]);
        assert!(ids(&path).into_iter().eq(1..=100));
    }

    #[test]
    fn a_file_that_cant_be_had_fails_each_call_and_is_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("not-yet/calls.jsonl");
        let metrics = Metrics::new().expect("metrics");
        let writer = CallFileWriter::start(Some(&path), 1, metrics.registry()).expect("starts");
        let history = CallHistory::new(Bounds::default()).written_by(writer);
        history.add(Arc::new(sample_call(1, 1)));
        let deadline = Instant::now() + Duration::from_secs(60);
        while value(&metrics, "failed") < 1 {
            assert!(Instant::now() < deadline, "it was not tried");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::create_dir(folder.path().join("not-yet")).expect("made");
        history.add(Arc::new(sample_call(2, 1)));
        drop(history);
        assert_eq!((value(&metrics, "written"), ids(&path)), (1, vec![2]));
    }

    #[test]
    fn without_a_file_all_is_0() {
        let metrics = Metrics::new().expect("metrics");
        let none = CallFileWriter::start(None, 1, metrics.registry());
        assert!(none.expect("no error").is_none());
        assert_eq!(value(&metrics, "written"), 0);
    }

    #[test]
    fn what_finds_no_room_to_wait_is_counted() {
        let (waiting, _calls) = sync_channel(1);
        let writer = CallFileWriter {
            waiting: Some(waiting),
            thread: None,
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
