//! How long nothing came over a connection, and what ended that: `socket_idle_seconds`.

use std::time::Duration;

use da_ebpf_common::connection::{Closed, flags};
use da_ebpf_common::exchange::Exchange;

use super::series::family::DetailDistribution;
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// Edges of `socket_idle_seconds`: those of timers that are in use, and next to them what is just below and above.
const IDLE_SECONDS: &[f64] = &[
    0.1, 1.0, 4.0, 6.0, 14.0, 16.0, 19.0, 21.0, 29.0, 31.0, 58.0, 62.0, 74.0, 76.0, 118.0, 122.0,
    238.0, 242.0, 298.0, 302.0, 348.0, 352.0, 598.0, 602.0, 898.0, 902.0, 3_598.0, 3_602.0,
];

/// What ended it: label value of `socket_idle_seconds{ended_by}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The next request: the connection was used again.
    Request,
    /// This side closed it.
    ClientClose,
    /// The other side did: the provider, or what is between.
    PeerClose,
    /// This side broke it off.
    ClientReset,
    /// The other side did.
    PeerReset,
}

impl EndedBy {
    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::ClientClose => "client_close",
            Self::PeerClose => "peer_close",
            Self::ClientReset => "client_reset",
            Self::PeerReset => "peer_reset",
        }
    }

    /// And when, ns; nothing where the connection timed out.
    fn of(closed: &Closed) -> Option<(Self, u64)> {
        let has = |flag| closed.flags & flag != 0;
        if closed.half_closed_ns != 0 {
            let side = if has(flags::CLOSED_BY_PEER) { Self::PeerClose } else { Self::ClientClose };
            return Some((side, closed.half_closed_ns));
        }
        if has(flags::RESET_RECEIVED) {
            Some((Self::PeerReset, closed.closed_ns))
        } else if has(flags::RESET_SENT) {
            Some((Self::ClientReset, closed.closed_ns))
        } else {
            None
        }
    }
}

/// Since when nothing has come over a connection whose latest request was answered, ns; 0 where it was not.
pub fn idle_since_ns(exchange: &Exchange) -> u64 {
    let last_ns = exchange.response.last_ns;
    if last_ns >= exchange.request_last_ns { last_ns } else { 0 }
}

/// The family of this module.
#[derive(Debug)]
pub struct IdleMetrics {
    idle_seconds: DetailDistribution,
}

impl IdleMetrics {
    /// Registers it.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: SocketRegistry<'_>) -> prometheus::Result<Self> {
        let idle_seconds = DetailDistribution::register(
            registry,
            "socket_idle_seconds",
            "How long nothing came over a connection after an answer, by what ended that: the next \
             request, or a close or reset by either side. Whoever closes idle connections shows by \
             always the same time.",
            "ended_by",
            IDLE_SECONDS,
        )?;
        Ok(Self { idle_seconds })
    }

    /// A request has come over a connection that was idle since then.
    pub fn reused(&mut self, id: SeriesId, labels: &SeriesLabels, idle_ns: u64) {
        self.observe(id, labels, EndedBy::Request, idle_ns);
    }

    /// A connection has closed that was idle since then.
    pub fn closed(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        closed: &Closed,
        idle_since_ns: u64,
    ) {
        if let Some((ended_by, at_ns)) = EndedBy::of(closed)
            && idle_since_ns != 0
        {
            self.observe(id, labels, ended_by, at_ns.saturating_sub(idle_since_ns));
        }
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.idle_seconds.forget(id, labels);
    }

    fn observe(&mut self, id: SeriesId, labels: &SeriesLabels, ended_by: EndedBy, idle_ns: u64) {
        let seconds = Duration::from_nanos(idle_ns).as_secs_f64();
        self.idle_seconds.observe(id, labels, ended_by.as_str(), seconds);
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn ended(half_closed_ns: u64, flags: u32) -> Option<(EndedBy, u64)> {
        let mut closed = Closed::new_zeroed();
        (closed.half_closed_ns, closed.closed_ns, closed.flags) = (half_closed_ns, 900, flags);
        EndedBy::of(&closed)
    }

    #[test]
    fn whoever_was_the_first_to_close_has_ended_it() {
        assert_eq!(ended(500, 0), Some((EndedBy::ClientClose, 500)));
        assert_eq!(ended(500, flags::CLOSED_BY_PEER), Some((EndedBy::PeerClose, 500)));
        let late_reset = flags::CLOSED_BY_PEER | flags::RESET_SENT;
        assert_eq!(ended(500, late_reset), Some((EndedBy::PeerClose, 500)));
        assert_eq!(ended(0, flags::RESET_RECEIVED), Some((EndedBy::PeerReset, 900)));
        assert_eq!(ended(0, flags::RESET_SENT), Some((EndedBy::ClientReset, 900)));
        assert_eq!(ended(0, 0), None, "it timed out");
    }

    #[test]
    fn a_connection_with_an_unanswered_request_is_not_idle() {
        let mut exchange = Exchange::new_zeroed();
        (exchange.request_last_ns, exchange.response.last_ns) = (100, 200);
        assert_eq!(idle_since_ns(&exchange), 200);
        exchange.response.last_ns = 0;
        assert_eq!(idle_since_ns(&exchange), 0);
    }
}
