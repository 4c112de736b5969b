//! The reader's path without a kernel behind it.

use super::event::Event;
use crate::kernel::endpoints::Endpoints;
use crate::kernel::self_metrics::EventMetrics;
use crate::kernel::self_metrics::losses::{Loss, LossMetrics};
use crate::kernel::series::AllSeries;
use crate::kernel::tracker::Tracker;
use crate::kernel::{Observation, Watch};
use crate::metrics::Registry;

/// Turns events into measurements as the reader does, from whatever bytes it is given: for
/// benchmarks.
#[derive(Debug)]
pub struct Replay {
    tracker: Tracker,
    event_metrics: EventMetrics,
    losses: LossMetrics,
}

impl Replay {
    /// Registers the families that are observed.
    ///
    /// # Errors
    /// One of them is already registered.
    pub fn new(watch: &Watch, registry: &Registry) -> prometheus::Result<Self> {
        let endpoints = Endpoints::new(&watch.endpoints, watch.unlisted);
        let series = AllSeries::new(watch.max_processes);
        let losses = LossMetrics::new()?;
        let tracker = Tracker::new(endpoints, series, losses.clone(), registry)?;
        Ok(Self { tracker, event_metrics: EventMetrics::register(registry)?, losses })
    }

    /// Takes one event in, laid out as in the ring buffer.
    pub fn take(&mut self, entry: &[u8]) {
        let Some(event) = Event::read(entry) else {
            self.losses.count(Loss::MalformedEvent);
            return;
        };
        self.event_metrics.count(event.kind());
        // There is no program that could forget a connection.
        let _verdict = self.tracker.take(&event);
    }

    /// What was observed since the last call, oldest first.
    pub fn observations(&mut self) -> impl Iterator<Item = Observation> + '_ {
        self.tracker.observations()
    }
}
