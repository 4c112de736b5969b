//! Gaps between the arrivals of a response: `socket_chunk_gap_seconds`.

use da_ebpf_common::arrival::Arrival;
use da_ebpf_common::histogram::Histogram;

use super::series::family::EndpointHistogram;
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// The family of this module.
#[derive(Debug)]
pub struct ArrivalMetrics {
    chunk_gap_seconds: EndpointHistogram,
}

impl ArrivalMetrics {
    /// Registers it.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: SocketRegistry<'_>) -> prometheus::Result<Self> {
        let chunk_gap_seconds = EndpointHistogram::register(
            registry,
            "socket_chunk_gap_seconds",
            "Time between one arrival of a response at the socket and the next. Observed when the \
             exchange is reported.",
        )?;
        Ok(Self { chunk_gap_seconds })
    }

    /// The gaps of one response: between its first arrivals, and the others as the programs counted
    /// them.
    pub fn responded(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        first: &[Arrival],
        others: Option<&Histogram>,
    ) {
        for pair in first.windows(2) {
            let gap_ns = pair[1].at_ns.saturating_sub(pair[0].at_ns);
            self.chunk_gap_seconds.observe_ns(id, labels, gap_ns);
        }
        if let Some(others) = others {
            self.chunk_gap_seconds.merge(id, labels, others);
        }
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId) {
        self.chunk_gap_seconds.forget(id);
    }
}
