//! How long nothing came over a connection, and what ended that: `socket_idle_seconds`.

use std::time::Duration;

use da_ebpf_common::connection::{Closed, flags};
use da_ebpf_common::exchange::{End, Exchange};

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

    /// And when, ns; nothing where the connection timed out, or sends have come by that nobody saw.
    fn of(closed: &Closed) -> Option<(Self, u64)> {
        let has = |flag| closed.flags & flag != 0;
        if has(flags::UNSEEN_SEND) || closed.errno == libc::ETIMEDOUT as u32 {
            return None; // TCP takes leave of whoever does not answer by a reset, too
        }
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

/// Since when a connection is of no use. Times are ns; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Idle {
    /// When the latest answer ended; none where the latest request had none, or is not told from others.
    since_ns: u64,
    /// The connection is closing, and this is when the last request began, and since when it was idle before that:
    /// the other side may have closed its half even earlier.
    last_reuse: Option<(u64, u64)>,
}

impl Idle {
    /// A request that began at `first_ns` is over; `told_apart` from others, and when its answer began is known. For how
    /// long the connection was idle before it, if that is certain by now.
    pub fn exchange(
        &mut self,
        exchange: &Exchange,
        first_ns: u64,
        told_apart: bool,
    ) -> Option<u64> {
        let since_ns = self.since_ns;
        self.since_ns = if told_apart { exchange.response.last_ns } else { 0 };
        if since_ns == 0 {
            return None;
        }
        if exchange.end == End::NextRequest as u32 || exchange.end == End::Silence as u32 {
            return Some(first_ns.saturating_sub(since_ns));
        }
        self.last_reuse = Some((first_ns, since_ns));
        None
    }

    /// More of an answer has come, or may have.
    pub fn goes_on(&mut self, exchange: &Exchange) {
        if self.since_ns != 0 {
            self.since_ns = exchange.response.last_ns;
        }
    }

    /// How the connection was idle until it closed, ns, in order.
    fn ends(self, closed: &Closed) -> impl Iterator<Item = (EndedBy, u64)> {
        let end = EndedBy::of(closed);
        let since = |since_ns: u64| {
            let (ended_by, at_ns) = end.filter(|_| since_ns != 0)?;
            // Who closes its half with the request was not idle.
            (ended_by != EndedBy::ClientClose || at_ns >= since_ns)
                .then_some((ended_by, at_ns.saturating_sub(since_ns)))
        };
        let [before, after] = match (self.last_reuse, end) {
            (Some((first_ns, since_ns)), Some((_, at_ns))) if at_ns <= first_ns => {
                [since(since_ns), None] // the request came too late
            }
            (Some((first_ns, since_ns)), _) => {
                let idle_ns = first_ns.saturating_sub(since_ns);
                [Some((EndedBy::Request, idle_ns)), since(self.since_ns)]
            }
            (None, _) => [None, since(self.since_ns)],
        };
        before.into_iter().chain(after)
    }
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

    /// A request has come over a connection that was idle for so long.
    pub fn reused(&mut self, id: SeriesId, labels: &SeriesLabels, idle_ns: u64) {
        self.observe(id, labels, EndedBy::Request, idle_ns);
    }

    /// A connection has closed.
    pub fn closed(&mut self, id: SeriesId, labels: &SeriesLabels, closed: &Closed, idle: Idle) {
        for (ended_by, idle_ns) in idle.ends(closed) {
            self.observe(id, labels, ended_by, idle_ns);
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
    fn who_does_not_answer_is_reset_and_has_closed_nothing() {
        let mut closed = Closed::new_zeroed();
        (closed.flags, closed.errno) = (flags::RESET_SENT, libc::ETIMEDOUT as u32);
        assert_eq!(EndedBy::of(&closed), None);
    }

    fn exchange(last_ns: u64, end: End) -> Exchange {
        let mut exchange = Exchange::new_zeroed();
        (exchange.response.last_ns, exchange.end) = (last_ns, end as u32);
        exchange
    }

    fn ends(idle: Idle, half_closed_ns: u64) -> Vec<(EndedBy, u64)> {
        let mut closed = Closed::new_zeroed();
        (closed.half_closed_ns, closed.flags) = (half_closed_ns, flags::CLOSED_BY_PEER);
        idle.ends(&closed).collect()
    }

    #[test]
    fn a_connection_is_idle_from_an_answer_on() {
        let mut idle = Idle::default();
        assert_eq!(ends(idle, 900), [], "nothing was asked");
        assert_eq!(idle.exchange(&exchange(200, End::NextRequest), 100, true), None);
        assert_eq!(idle.exchange(&exchange(500, End::Silence), 450, true), Some(250));
        idle.goes_on(&exchange(600, End::Silence));
        assert_eq!(ends(idle, 900), [(EndedBy::PeerClose, 300)]);
        assert_eq!(idle.exchange(&exchange(0, End::NextRequest), 700, false), Some(100));
        idle.goes_on(&exchange(800, End::Silence));
        assert_eq!(ends(idle, 900), [], "it has no answer");
    }

    #[test]
    fn a_request_after_the_other_sides_close_has_ended_nothing() {
        let mut idle = Idle::default();
        idle.exchange(&exchange(200, End::NextRequest), 100, true);
        assert_eq!(idle.exchange(&exchange(0, End::ClosedByPeer), 700, false), None);
        assert_eq!(ends(idle, 650), [(EndedBy::PeerClose, 450)]);
        assert_eq!(ends(idle, 750), [(EndedBy::Request, 500)]);
        let mut answered = Idle::default();
        answered.exchange(&exchange(200, End::NextRequest), 100, true);
        answered.exchange(&exchange(800, End::ClosedByPeer), 700, true);
        assert_eq!(ends(answered, 850), [(EndedBy::Request, 500), (EndedBy::PeerClose, 50)]);
    }
}
