//! Sends finished calls to whoever looks into them, and never waits for that.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::IntCounter;
use serde::{Deserialize, Serialize};

use super::ProviderName;
use super::attempt_timings::{AttemptRecorder, AttemptTimings};
use super::outcome::{CallKind, Outcome};
use crate::clock::monotonic_ns;

/// A finished call as the application saw it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallReport {
    /// Its number in this process, from 1, in the order in which calls begin.
    pub id: u64,
    /// Language model or speech.
    pub kind: CallKind,
    /// Who was called.
    pub provider: ProviderName,
    /// The configured model.
    #[serde(with = "model_name")]
    pub model: Arc<str>,
    /// When it began, milliseconds of the Unix epoch.
    pub began_unix_ms: u64,
    /// When it began, ns of `CLOCK_MONOTONIC`.
    pub began_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptTimings>,
}

/// The model's name as JSON.
mod model_name {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        Ok(String::deserialize(deserializer)?.into())
    }
}

/// Numbers for calls, from 1; all of a process have one sequence.
#[derive(Debug, Clone, Default)]
pub struct CallIds(Arc<AtomicU64>);

impl CallIds {
    /// The next one.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Where all calls of the process are reported.
#[derive(Debug, Clone)]
pub struct CallReports {
    sender: SyncSender<CallReport>,
    ids: CallIds,
    dropped: IntCounter,
}

impl CallReports {
    /// At most `capacity` reports wait to be taken; `dropped` counts those that did not fit.
    #[must_use]
    pub fn channel(capacity: usize, dropped: IntCounter) -> (Self, Receiver<CallReport>) {
        let (sender, receiver) = sync_channel(capacity);
        (Self { sender, ids: CallIds::default(), dropped }, receiver)
    }

    /// The numbers of calls.
    #[must_use]
    pub fn ids(&self) -> CallIds {
        self.ids.clone()
    }

    /// Hands on a call that has ended; if nobody takes it in time it is counted as dropped.
    pub fn send(&self, report: CallReport) {
        if self.sender.try_send(report).is_err() {
            self.dropped.inc();
        }
    }
}

/// Reports the calls of one client, unless `reports` is `None`.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    pub kind: CallKind,
    pub provider: ProviderName,
    pub model: Arc<str>,
    pub reports: Option<CallReports>,
}

impl Reporter {
    /// A call that begins now.
    pub(super) fn call(&self) -> CallRecord {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let next_id = |reports: &CallReports| reports.ids.next();
        CallRecord {
            id: self.reports.as_ref().map(next_id).and_then(NonZeroU64::new),
            reporter: self.clone(),
            began_unix_ms: since_epoch.as_millis() as u64,
            began_ns: monotonic_ns(),
            attempts: Vec::new(),
            backing_off: false,
        }
    }
}

/// A call under way. Reported when it is dropped.
#[derive(Debug)]
pub(super) struct CallRecord {
    reporter: Reporter,
    /// `None` if calls are not reported.
    pub id: Option<NonZeroU64>,
    began_unix_ms: u64,
    began_ns: u64,
    attempts: Vec<AttemptRecorder>,
    /// Whether it is between two attempts: a call that ends there was given up.
    pub backing_off: bool,
}

impl CallRecord {
    /// Its next attempt, which begins now.
    pub fn attempt(&mut self) -> AttemptRecorder {
        let recorder = AttemptRecorder::begin(self.id);
        self.attempts.push(recorder.clone());
        self.backing_off = false;
        recorder
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        let (Some(reports), Some(id)) = (&self.reporter.reports, self.id) else { return };
        let attempts: Vec<_> = self.attempts.iter().map(AttemptRecorder::timings).collect();
        let cancelled = Outcome::Failed(super::ErrorKind::Cancelled);
        let last = attempts.last().filter(|_| !self.backing_off);
        let report = CallReport {
            id: id.get(),
            kind: self.reporter.kind,
            provider: self.reporter.provider.clone(),
            model: Arc::clone(&self.reporter.model),
            began_unix_ms: self.began_unix_ms,
            began_ns: self.began_ns,
            ended_ns: monotonic_ns(),
            outcome: last.map_or(cancelled, |attempt| attempt.outcome),
            attempts,
        };
        reports.send(report);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_ends_without_waiting_although_nobody_takes_its_report() {
        let dropped = IntCounter::new("dropped", "Reports that found no room.").expect("a counter");
        let (reports, taken) = CallReports::channel(2, dropped.clone());
        let reporter = Reporter {
            kind: CallKind::Llm,
            provider: "anthropic".into(),
            model: Arc::from("m"),
            reports: Some(reports),
        };
        let (ended, all_ended) = channel();
        std::thread::spawn(move || {
            (0..5).for_each(|_| drop(reporter.call()));
            ended.send(()).expect("waited for");
        });
        all_ended.recv_timeout(Duration::from_secs(10)).expect("none of them waits");
        assert_eq!(taken.iter().map(|report| report.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(dropped.get(), 3);
    }
}
