//! Connections that were broken off: `socket_resets_total`.

use da_ebpf_common::connection::flags;

use super::series::family::DetailCounter;
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// Who broke it off: label value of `socket_resets_total{direction}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// This side.
    Sent,
    /// The peer, or something on the way to it.
    Received,
}

impl Direction {
    const ALL: [Self; 2] = [Self::Sent, Self::Received];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }

    fn flag(self) -> u32 {
        match self {
            Self::Sent => flags::RESET_SENT,
            Self::Received => flags::RESET_RECEIVED,
        }
    }
}

/// The family of this module.
#[derive(Debug)]
pub struct ResetMetrics {
    resets_total: DetailCounter,
}

impl ResetMetrics {
    /// Registers it.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: SocketRegistry<'_>) -> prometheus::Result<Self> {
        let resets_total = DetailCounter::register(
            registry,
            "socket_resets_total",
            "Connections that were broken off by a TCP reset, refused ones included.",
            "direction",
        )?;
        Ok(Self { resets_total })
    }

    /// A connection ended with these flags.
    pub fn ended(&mut self, id: SeriesId, labels: &SeriesLabels, connection_flags: u32) {
        for direction in Direction::ALL {
            if connection_flags & direction.flag() != 0 {
                self.resets_total.count(id, labels, direction.as_str());
            }
        }
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.resets_total.forget(id, labels);
    }
}
