//! How long what had arrived waited to be read: `socket_pickup_seconds`.

use da_ebpf_common::exchange::Exchange;
use da_ebpf_common::histogram::Histogram;

use super::series::family::EndpointHistogram;
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// An exchange that was counted before it was known to be over.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Its number on the connection.
    pub number: u64,
    /// Bytes of the response by then.
    pub response_bytes: u64,
    /// Waits to be read that were over by then.
    pub pickups: u64,
    /// These without the first, if there were more.
    pub later_pickups: Option<Box<Histogram>>,
}

/// The family of this module.
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

    /// The same of an exchange that was counted before, while something waited to be read: what has
    /// come since.
    pub fn picked_up_since(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        exchange: &Exchange,
        others: Option<Box<Histogram>>,
        settled: &Settled,
    ) {
        let others = match (others, &settled.later_pickups) {
            (Some(others), Some(counted)) => Some(others.since(counted)),
            (others, _) => others.map(|others| *others),
        };
        if settled.pickups == 0 {
            self.picked_up(id, labels, exchange, others.as_ref());
        } else if let Some(others) = others {
            self.pickup_seconds.merge(id, labels, &others);
        }
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId) {
        self.pickup_seconds.forget(id);
    }
}
