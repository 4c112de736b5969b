//! What is remembered of a connection that is of interest.

use da_ebpf_common::arrival::{Arrival, FirstArrivals};
use da_ebpf_common::connection::Peers;
use da_ebpf_common::exchange::Exchange;
use da_ebpf_common::existing::Existing;
use da_ebpf_common::histogram::Histogram;

use crate::kernel::endpoints::EndpointId;
use crate::kernel::exchange::interleaving::Interleaving;
use crate::kernel::series::SeriesId;

/// One connection.
#[derive(Debug)]
pub struct Known {
    /// Whose it is.
    pub endpoint: EndpointId,
    /// Where what it measures goes.
    pub series: SeriesId,
    /// Who is connected to whom.
    pub peers: Peers,
    /// Whether it may carry exchanges side by side.
    pub interleaving: Interleaving,
    /// It does, and is counted.
    pub interleaved: bool,
    /// Its first request went ahead of the handshake.
    pub sends_early: bool,
    /// What became of it is counted.
    pub ended_up: bool,
    /// Its first request may have begun before it was looked at.
    pub joined_midway: bool,
    /// What goes before the next exchange.
    pub pending: Pending,
    /// Exchanges counted.
    pub exchanges: u64,
    /// Number of the latest exchange that was taken in: numbers rise, so one that does not is a report of
    /// what was counted already.
    pub last_number: u64,
    /// The exchange that was counted when it had been silent for long.
    pub settled: Option<Settled>,
    /// Running totals, as last seen.
    pub totals: Totals,
}

/// What the programs report before the exchange it belongs to.
#[derive(Debug, Default)]
pub struct Pending {
    /// What arrived first.
    pub first_arrivals: Option<Box<FirstArrivals>>,
    /// Gaps between later arrivals.
    pub gaps: Option<Box<Histogram>>,
    /// Later waits to be read.
    pub pickups: Option<Box<Histogram>>,
    /// The beginning of its request, where something arrived in between that was no response.
    pub request: Option<Begun>,
    /// What was counted before may have been its beginning and a lone ticket, which others may follow.
    pub tickets_may_follow: bool,
}

/// A request of which more is to come.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    /// When its first send returned, ns.
    pub first_ns: u64,
    /// Bytes so far.
    pub bytes: u64,
}

impl Pending {
    /// The first arrivals of the response that began at `start_ns`, in order.
    pub fn response(&self, exchange: &Exchange, start_ns: u64) -> Vec<Arrival> {
        let Some(first) = &self.first_arrivals else {
            let bytes = u32::try_from(exchange.response.bytes).unwrap_or(u32::MAX);
            return vec![Arrival { at_ns: start_ns, bytes, acked_bytes: 0 }];
        };
        let of_response = |arrival: &&Arrival| arrival.at_ns >= start_ns;
        first.kept().iter().filter(of_response).copied().collect()
    }
}

/// See [`Known::settled`].
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

/// What the kernel counts since the connect.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Segments sent again.
    pub retransmits: u64,
}

impl Totals {
    /// Takes new totals over, and returns what they add to the old ones.
    pub fn advance(&mut self, to: Self) -> Self {
        let advance = |from: &mut u64, to: u64| {
            let added = to.saturating_sub(*from);
            *from += added;
            added
        };
        Self {
            sent_bytes: advance(&mut self.sent_bytes, to.sent_bytes),
            received_bytes: advance(&mut self.received_bytes, to.received_bytes),
            retransmits: advance(&mut self.retransmits, to.retransmits),
        }
    }
}

impl Known {
    /// Nothing has been counted yet.
    pub fn new(endpoint: EndpointId, series: SeriesId, peers: Peers) -> Self {
        Self {
            endpoint,
            series,
            peers,
            interleaving: Interleaving::No,
            interleaved: false,
            sends_early: false,
            ended_up: false,
            joined_midway: false,
            pending: Pending::default(),
            exchanges: 0,
            last_number: 0,
            settled: None,
            totals: Totals::default(),
        }
    }

    /// One that is older than the programs: what it did before does not count.
    pub fn existing(endpoint: EndpointId, series: SeriesId, existing: &Existing) -> Self {
        Self {
            ended_up: true,
            totals: Totals {
                sent_bytes: existing.sent_bytes,
                received_bytes: existing.received_bytes,
                retransmits: existing.retransmits,
            },
            ..Self::new(endpoint, series, existing.peers)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_only_rise() {
        let mut totals = Totals::default();
        let seen = Totals { sent_bytes: 10, received_bytes: 20, retransmits: 1 };
        assert_eq!(totals.advance(seen).sent_bytes, 10);
        let added = totals.advance(Totals { sent_bytes: 15, received_bytes: 5, retransmits: 0 });
        assert_eq!((added.sent_bytes, added.received_bytes, added.retransmits), (5, 0, 0));
        assert_eq!((totals.sent_bytes, totals.received_bytes, totals.retransmits), (15, 20, 1));
    }
}
