//! The reader's path without a kernel behind it.

use std::sync::mpsc::Receiver;

use da_ebpf_common::dns::Answer;
use zerocopy::FromBytes;

use super::recorded::Recorded;
use super::settlement::{Settlement, Settlements};
use crate::kernel::event::Event;
use crate::kernel::self_metrics::EventMetrics;
use crate::kernel::self_metrics::losses::{Loss, LossMetrics};
use crate::kernel::series::AllSeries;
use crate::kernel::tracker::{Over, Tracker};
use crate::kernel::{Observation, Watch};
use crate::metrics::Registry;

/// Turns events into measurements as the reader does, from whatever bytes it is given: a recording's,
/// or a benchmark's.
#[derive(Debug)]
pub struct Replay {
    tracker: Tracker,
    event_metrics: EventMetrics,
    losses: LossMetrics,
    settlements: (Settlements, Receiver<Settlement>),
}

impl Replay {
    /// Registers the families that are observed.
    ///
    /// # Errors
    /// One of them is already registered.
    pub fn new(watch: &Watch, registry: &Registry) -> prometheus::Result<Self> {
        let endpoints = watch.endpoints();
        let series = AllSeries::new(watch.max_processes);
        let losses = LossMetrics::new()?;
        let mut tracker = Tracker::new(endpoints, series, losses.clone(), registry)?;
        // Nobody looks for connections that are older.
        tracker.existing_end();
        let event_metrics = EventMetrics::register(registry)?;
        Ok(Self { tracker, event_metrics, losses, settlements: Settlements::channel() })
    }

    /// Takes one event in, laid out as in the ring buffer; whether it is one.
    pub fn take(&mut self, entry: &[u8]) -> bool {
        let Some(event) = Event::read(entry) else {
            self.losses.count(Loss::MalformedEvent);
            return false;
        };
        self.event_metrics.count(event.kind());
        // There is no program that could forget a connection.
        let _verdict = self.tracker.take(&event);
        true
    }

    /// Takes one entry of a recording in; whether it could be read.
    pub fn take_recorded(&mut self, entry: &Recorded) -> bool {
        match entry {
            // That is what this was made from.
            Recorded::Begun { .. } => true,
            Recorded::Event(bytes) => self.take(bytes),
            Recorded::DnsAnswer(recorded) => {
                let Ok((answer, message)) = Answer::read_from_prefix(&recorded.answer) else {
                    return false;
                };
                self.tracker.dns_answered(&answer, message, |_, _| recorded.from_ns);
                true
            }
            Recorded::Settled(settled) => {
                let Some(record) = settled.record() else { return false };
                let over = Over::Read(settled.over_ns);
                self.tracker.settle(settled.connection(), &record, over);
                true
            }
        }
    }

    /// Every entry that was due has been taken.
    pub fn batch_ends(&mut self) {
        self.tracker.batch_ends();
        // Nothing here times system calls.
        self.tracker.take_gone_series();
        // There are no records in which unknown connections could be looked up.
        self.tracker.strangers().into_iter().for_each(drop);
    }

    /// How to ask for what a connection owes: in vain, as a recording has the answers in it.
    pub fn settlements(&self) -> Settlements {
        self.settlements.0.clone()
    }

    /// What was observed since the last call, oldest first.
    pub fn observations(&mut self) -> impl Iterator<Item = Observation> + '_ {
        self.settlements.1.try_iter().for_each(drop);
        self.tracker.observations()
    }
}
