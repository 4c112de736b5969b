//! Hands finished calls on to whoever wants to look into them, without ever waiting for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::IntCounter;

use super::ProviderName;
use super::outcome::{CallKind, Outcome};
use super::span::{Marks, Span};
use crate::clock::monotonic_ns;

/// A finished call as the application saw it.
#[derive(Debug, Clone)]
pub struct CallReport {
    /// Its number in this process, from 1.
    pub id: u64,
    /// Language or speech.
    pub kind: CallKind,
    /// Who was called.
    pub provider: ProviderName,
    /// The configured model.
    pub model: Arc<str>,
    /// When it began, milliseconds of the Unix epoch.
    pub began_unix_ms: u64,
    /// When it began, ns of `CLOCK_MONOTONIC`.
    pub began_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// How.
    pub outcome: Outcome,
    /// Its attempts, in order.
    pub attempts: Vec<Marks>,
}

/// Where all calls of the process are reported.
#[derive(Debug, Clone)]
pub struct CallReports {
    sender: SyncSender<CallReport>,
    next_id: Arc<AtomicU64>,
    dropped: IntCounter,
}

impl CallReports {
    /// At most `capacity` reports wait to be taken; `dropped` counts those that found no room.
    #[must_use]
    pub fn channel(capacity: usize, dropped: IntCounter) -> (Self, Receiver<CallReport>) {
        let (sender, receiver) = sync_channel(capacity);
        (Self { sender, next_id: Arc::new(AtomicU64::new(1)), dropped }, receiver)
    }
}

/// Reports the calls of one client; to nobody, if nobody wants to know.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    pub kind: CallKind,
    pub provider: ProviderName,
    pub model: Arc<str>,
    pub reports: Option<CallReports>,
}

impl Reporter {
    /// A call that begins now.
    pub(super) fn call(&self) -> CallNotes {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        CallNotes {
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
pub(super) struct CallNotes {
    reporter: Reporter,
    began_unix_ms: u64,
    began_ns: u64,
    attempts: Vec<Span>,
    /// Between two attempts: ended there, it was given up.
    pub backing_off: bool,
}

impl CallNotes {
    /// Its next attempt, which begins now.
    pub fn attempt(&mut self) -> Span {
        let span = Span::begin();
        self.attempts.push(span.clone());
        self.backing_off = false;
        span
    }
}

impl Drop for CallNotes {
    fn drop(&mut self) {
        let Some(reports) = &self.reporter.reports else { return };
        let attempts: Vec<_> = self.attempts.iter().map(Span::marks).collect();
        let cancelled = Outcome::Failed(super::ErrorKind::Cancelled);
        let last = attempts.last().filter(|_| !self.backing_off);
        let report = CallReport {
            id: reports.next_id.fetch_add(1, Ordering::Relaxed),
            kind: self.reporter.kind,
            provider: self.reporter.provider.clone(),
            model: Arc::clone(&self.reporter.model),
            began_unix_ms: self.began_unix_ms,
            began_ns: self.began_ns,
            ended_ns: monotonic_ns(),
            outcome: last.map_or(cancelled, |attempt| attempt.outcome),
            attempts,
        };
        if reports.sender.try_send(report).is_err() {
            reports.dropped.inc();
        }
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
