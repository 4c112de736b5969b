//! What is remembered of a connection that is of interest.

use std::sync::Arc;

use da_ebpf_common::arrival::{Arrival, FirstArrivals};
use da_ebpf_common::exchange::Exchange;
use da_ebpf_common::existing::Existing;
use da_ebpf_common::histogram::Histogram;
use da_ebpf_common::peers::Peers;

use crate::kernel::connection::Totals;
use crate::kernel::endpoints::EndpointId;
use crate::kernel::idle::Idle;
use crate::kernel::interleaving::Interleaving;
use crate::kernel::long_gap::LongGaps;
use crate::kernel::pickup::Settled;
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
    /// The workload of its process, if that is known.
    pub workload: Option<Arc<str>>,
    /// Whether it may carry exchanges side by side.
    pub interleaving: Interleaving,
    /// It does, and is counted.
    pub interleaved: bool,
    /// If it does not, it is HTTP/1.
    pub is_http1: bool,
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
    /// When something last came over it: a request or an arrival of the latest exchange, ns; 0 where there was none.
    pub last_use_ns: u64,
    /// Since when it is of no use.
    pub idle: Idle,
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
    /// Long gaps between arrivals.
    pub long_gaps: Option<Box<LongGaps>>,
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

impl Known {
    /// Nothing has been counted yet.
    pub fn new(endpoint: EndpointId, series: SeriesId, peers: Peers) -> Self {
        Self {
            endpoint,
            series,
            peers,
            workload: None,
            interleaving: Interleaving::No,
            interleaved: false,
            is_http1: false,
            sends_early: false,
            ended_up: false,
            joined_midway: false,
            pending: Pending::default(),
            exchanges: 0,
            last_number: 0,
            last_use_ns: 0,
            idle: Idle::default(),
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
