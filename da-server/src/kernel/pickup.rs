//! How long what had arrived waited to be read: `socket_pickup_seconds`.

use da_ebpf_common::exchange::Exchange;
use da_ebpf_common::histogram::Histogram;

use super::family::EndpointHistogram;
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// The family of this room.
#[derive(Debug)]
pub struct PickupMetrics {
    pickup_seconds: EndpointHistogram,
}

impl PickupMetrics {
    /// Registers it.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: SocketRegistry<'_>) -> prometheus::Result<Self> {
        let pickup_seconds = EndpointHistogram::register(
            registry,
            "socket_pickup_seconds",
            "Oldest unread byte at the socket to the read that takes it. Observed when the exchange \
             is reported.",
        )?;
        Ok(Self { pickup_seconds })
    }

    /// The waits during one exchange: the first, and the others as the programs counted them.
    pub fn picked_up(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        exchange: &Exchange,
        others: Option<&Histogram>,
    ) {
        if exchange.pickups > 0 {
            self.pickup_seconds.observe_ns(id, labels, exchange.first_pickup_ns);
        }
        if let Some(others) = others {
            self.pickup_seconds.merge(id, labels, others);
        }
    }
}
