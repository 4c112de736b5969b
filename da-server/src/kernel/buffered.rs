//! Responses that something on the way has held back: `socket_buffered_responses_total`.
//!
//! A model's answer that is streamed arrives word by word. Where a proxy, or the provider, collects it in a buffer
//! first, it arrives in bursts, with pauses in which nothing of what was said comes through.

use da_ebpf_common::arrival::Arrival;
use da_ebpf_common::exchange::Exchange;

use super::endpoints::catalogue::EndpointKind;
use super::long_gap::LongGaps;
use super::series::family::EndpointCounter;
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// Fewer pauses may as well be the model's: it thinks before it speaks, or calls a tool.
const LEAST_PAUSES: u64 = 2;
/// Behind each pause there come so many bytes at least, in the mean: some tokens at once are a few hundred, the smallest
/// usual buffer is 4,096, and the last one is not full.
const LEAST_BYTES: u64 = 2_048;
/// A pause is so many round trips long, in the mean: less is what TCP makes while it finds out what the path bears.
const LEAST_ROUND_TRIPS: u64 = 2;
/// For so long a burst lasts at most, ns, in the mean.
const LONGEST_BURST_NS: u64 = 25_000_000;

/// Whether a response, which began with the first of `arrivals`, came in bursts; none where that can't be told.
pub fn is_buffered(
    kind: EndpointKind,
    exchange: &Exchange,
    arrivals: &[Arrival],
    gaps: Option<&LongGaps>,
) -> Option<bool> {
    let first = arrivals.first().filter(|_| kind == EndpointKind::Llm)?;
    let Some(pauses) = gaps.map(LongGaps::by_provider) else { return Some(false) };
    let Some(pauses) = pauses else { return Some(false) };
    let lasted_ns = exchange.response.last_ns.saturating_sub(first.at_ns);
    let bursts_ns = lasted_ns.saturating_sub(pauses.sum_ns);
    // What a slow path sends in flights, one round trip apart, nobody holds back.
    let round_trip_ns = u64::from(exchange.srtt_eighths_us) * 1_000 / 8;
    let later_bytes = exchange.response.bytes.saturating_sub(first.bytes.into());
    Some(
        pauses.count >= LEAST_PAUSES
            && pauses.sum_ns > LEAST_ROUND_TRIPS * pauses.count * round_trip_ns
            && later_bytes >= LEAST_BYTES * pauses.count
            && bursts_ns <= LONGEST_BURST_NS * (pauses.count + 1),
    )
}

/// The family of this module.
#[derive(Debug)]
pub struct BufferedMetrics {
    buffered_responses_total: EndpointCounter,
}

impl BufferedMetrics {
    /// Registers it.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: SocketRegistry<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            buffered_responses_total: EndpointCounter::register(
                registry,
                "socket_buffered_responses_total",
                "Responses of language models that came in bursts, with pauses between them that \
                 nothing here explains: the provider or a proxy holds the stream back.",
            )?,
        })
    }

    /// A response of a model is over.
    pub fn responded(&mut self, id: SeriesId, labels: &SeriesLabels, is_buffered: bool) {
        self.buffered_responses_total.add(id, labels, is_buffered.into());
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.buffered_responses_total.forget(id, labels);
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;
    use crate::kernel::long_gap::{GapCause, SeenGap};

    const MS: u64 = 1_000_000;
    const ROUND_TRIP_US: u32 = 200_000;

    /// A response of so many bytes that lasted so long, with pauses that began and ended then, all in ms.
    fn found(bytes: u64, lasted: u64, pauses: &[(u64, u64)], cause: GapCause) -> Option<bool> {
        let mut exchange = Exchange::new_zeroed();
        (exchange.response.bytes, exchange.response.last_ns) = (bytes, lasted * MS);
        exchange.srtt_eighths_us = 8 * ROUND_TRIP_US;
        let arrivals = [Arrival { at_ns: 0, bytes: 300, acked_bytes: 0 }];
        let mut gaps = LongGaps::of(1);
        for (from, to) in pauses {
            gaps.add(SeenGap { from_ns: from * MS, to_ns: to * MS, cause });
        }
        is_buffered(EndpointKind::Llm, &exchange, &arrivals, Some(&gaps))
    }

    #[test]
    fn a_stream_that_comes_in_bursts_is_held_back() {
        let pauses = [(2, 1_000), (1_005, 2_000), (2_004, 2_500)];
        assert_eq!(found(300 + 3 * 4_118, 2_501, &pauses, GapCause::Provider), Some(true));
        // The last buffer is not full.
        assert_eq!(found(300 + 4_118 + 500, 2_001, &pauses[..2], GapCause::Provider), Some(true));
        assert_eq!(found(300 + 3 * 400, 2_501, &pauses, GapCause::Provider), Some(false), "slow");
        assert_eq!(found(300 + 3 * 4_118, 2_501, &pauses, GapCause::Network), Some(false));
    }

    #[test]
    fn a_model_that_thinks_and_then_speaks_is_not() {
        let thinks = [(2, 4_000)];
        assert_eq!(found(16_000, 4_010, &thinks, GapCause::Provider), Some(false), "once");
        let twice = [(2, 4_000), (6_000, 9_000)];
        assert_eq!(found(16_000, 11_000, &twice, GapCause::Provider), Some(false), "word by word");
        assert_eq!(found(16_000, 3_000, &[], GapCause::Provider), Some(false), "without a pause");
    }

    #[test]
    fn what_comes_in_flights_one_round_trip_apart_is_not() {
        let flights = [(2, 205), (207, 410), (413, 620)];
        assert_eq!(found(120_000, 625, &flights, GapCause::Provider), Some(false));
    }

    #[test]
    fn nothing_is_said_of_what_is_no_models_answer() {
        let exchange = Exchange::new_zeroed();
        let arrivals = [Arrival { at_ns: 0, bytes: 300, acked_bytes: 0 }];
        assert_eq!(is_buffered(EndpointKind::Tts, &exchange, &arrivals, None), None);
        assert_eq!(is_buffered(EndpointKind::Llm, &exchange, &[], None), None);
        assert_eq!(is_buffered(EndpointKind::Llm, &exchange, &arrivals, None), Some(false));
    }
}
