//! `ebpf_lost_total{reason}`: what the kernel view did not see, or could not use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use da_ebpf_common::meter::Counter;
use prometheus::{IntCounter, IntCounterVec, Opts};

/// Label value of `ebpf_lost_total{reason}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// A connection was not tracked from its connect on: `kernel.max_connections` were.
    ConnectionsFull,
    /// A connection was not tracked before its first send: too many say nothing.
    SilentConnection,
    /// An event was not delivered: the ring buffer was full, or its lock could not be had.
    RingFull,
    /// A program did not run, because it was running on that CPU already.
    Recursion,
    /// A ClientHello could not be read: longer than what is copied, or malformed.
    UnparsableHello,
    /// A connection showed no name, and several endpoints share its address.
    AmbiguousAddress,
    /// A connection's address was not learned: too many were.
    AddressesFull,
    /// An event of a connection whose first bytes were lost.
    UnknownConnection,
    /// Bytes were sent on a connection in no hook's sight.
    UnseenSend,
    /// A connection's end was not reported: its record was found, or stood where another's begins.
    UnseenClose,
    /// More of a response arrived after a silence so long that it had been counted as over.
    LateResponse,
    /// The look at connections older than the programs was cut short.
    OlderUnread,
    /// An entry of the ring buffer that is no event.
    MalformedEvent,
    /// A connection was forgotten by mistake: its socket took the place of an unlisted one. Or a program found, in the
    /// middle of a run, that its record had become another connection's.
    VerdictRace,
    /// System calls on a connection were not timed before it was known whose it is: too many such
    /// connections at once.
    EarlyCallsFull,
    /// System calls on a connection were let go before it was known whose it is: it had kept silent,
    /// and too many others wait for that.
    EarlyCallsEvicted,
    /// System calls of a process were not timed: too many processes connect at once.
    ProcessesFull,
    /// A system call was not timed: the kernel had no memory for it, or was busy with it.
    ThreadsFull,
    /// System calls on a connection were not timed: too many endpoints are talked to.
    SeriesFull,
    /// System calls on a connection were not timed: those on too many connections are.
    TimedConnectionsFull,
    /// A DNS query was not followed: too many had no answer.
    DnsQueriesFull,
    /// The answer to a DNS query was not delivered: too many came at once.
    DnsAnswersFull,
    /// A subscriber was too slow to take an observation.
    SubscriberFull,
}

impl Loss {
    /// All of them, so that each is exported from the start.
    pub const ALL: [Self; 23] = [
        Self::ConnectionsFull,
        Self::SilentConnection,
        Self::RingFull,
        Self::Recursion,
        Self::UnparsableHello,
        Self::AmbiguousAddress,
        Self::AddressesFull,
        Self::UnknownConnection,
        Self::UnseenSend,
        Self::UnseenClose,
        Self::LateResponse,
        Self::OlderUnread,
        Self::MalformedEvent,
        Self::VerdictRace,
        Self::EarlyCallsFull,
        Self::EarlyCallsEvicted,
        Self::ProcessesFull,
        Self::ThreadsFull,
        Self::SeriesFull,
        Self::TimedConnectionsFull,
        Self::DnsQueriesFull,
        Self::DnsAnswersFull,
        Self::SubscriberFull,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionsFull => "connections_full",
            Self::SilentConnection => "silent_connection",
            Self::RingFull => "ring_full",
            Self::Recursion => "recursion",
            Self::UnparsableHello => "unparsable_hello",
            Self::AmbiguousAddress => "ambiguous_address",
            Self::AddressesFull => "addresses_full",
            Self::UnknownConnection => "unknown_connection",
            Self::UnseenSend => "unseen_send",
            Self::UnseenClose => "unseen_close",
            Self::LateResponse => "late_response",
            Self::OlderUnread => "older_unread",
            Self::MalformedEvent => "malformed_event",
            Self::VerdictRace => "verdict_race",
            Self::EarlyCallsFull => "early_calls_full",
            Self::EarlyCallsEvicted => "early_calls_evicted",
            Self::ProcessesFull => "processes_full",
            Self::ThreadsFull => "threads_full",
            Self::SeriesFull => "series_full",
            Self::TimedConnectionsFull => "timed_connections_full",
            Self::DnsQueriesFull => "dns_queries_full",
            Self::DnsAnswersFull => "dns_answers_full",
            Self::SubscriberFull => "subscriber_full",
        }
    }

    /// The counter in which the programs keep it, or a part of it, if they do.
    pub fn counter(self) -> Option<Counter> {
        match self {
            Self::ConnectionsFull => Some(Counter::ConnectionsFull),
            Self::SilentConnection => Some(Counter::SilentFull),
            Self::RingFull => Some(Counter::RingFull),
            Self::UnseenClose => Some(Counter::UnseenClose),
            Self::EarlyCallsFull => Some(Counter::EarlyCallsFull),
            Self::ProcessesFull => Some(Counter::ProcessesFull),
            Self::ThreadsFull => Some(Counter::ThreadsFull),
            Self::VerdictRace => Some(Counter::RecordReplaced),
            Self::DnsQueriesFull => Some(Counter::DnsQueriesFull),
            Self::DnsAnswersFull => Some(Counter::DnsAnswersFull),
            _ => None,
        }
    }
}

/// The family. [`super`] exports it, after bringing in what the programs counted.
#[derive(Debug, Clone)]
pub struct LossMetrics {
    lost_total: IntCounterVec,
    /// The part of each that is counted elsewhere.
    elsewhere: Arc<[AtomicU64; Loss::ALL.len()]>,
}

impl LossMetrics {
    /// The family with every [`Loss`] at 0.
    ///
    /// # Errors
    /// The family is malformed: a defect of the program.
    pub fn new() -> prometheus::Result<Self> {
        let opts = Opts::new(
            "ebpf_lost_total",
            "What the kernel view did not see or could not use, by reason.",
        );
        let lost_total = IntCounterVec::new(opts, &["reason"])?;
        for loss in Loss::ALL {
            lost_total.with_label_values(&[loss.as_str()]);
        }
        Ok(Self { lost_total, elsewhere: Arc::default() })
    }

    /// One was lost.
    pub fn count(&self, loss: Loss) {
        self.add(loss, 1);
    }

    /// So many were lost.
    pub fn add(&self, loss: Loss, lost: u64) {
        self.of(loss).inc_by(lost);
    }

    /// Brings what is counted elsewhere of a loss up to that count; what is counted here adds to it.
    pub fn raise_to(&self, loss: Loss, total: u64) {
        let before = self.elsewhere[loss as usize].fetch_max(total, Ordering::Relaxed);
        self.of(loss).inc_by(total.saturating_sub(before));
    }

    /// The family itself.
    pub fn family(&self) -> &IntCounterVec {
        &self.lost_total
    }

    fn of(&self, loss: Loss) -> IntCounter {
        self.lost_total.with_label_values(&[loss.as_str()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_here_and_elsewhere_adds_up() {
        let losses = LossMetrics::new().expect("the family");
        for total in [2, 2, 3] {
            losses.raise_to(Loss::UnseenClose, total);
            losses.count(Loss::UnseenClose);
        }
        assert_eq!(losses.of(Loss::UnseenClose).get(), 3 + 3);
    }
}
