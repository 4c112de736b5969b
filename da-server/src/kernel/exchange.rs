//! Requests and responses: `socket_first_byte_seconds`, `socket_response_seconds`,
//! `socket_exchanges_total`.

use da_ebpf_common::connection::flags;
use da_ebpf_common::exchange::Exchange;
use prometheus::Registry;

use super::endpoints::{EndpointId, EndpointLabels};
use super::family::{EndpointHistogram, OutcomeCounter};

/// How an exchange went: label value of `socket_exchanges_total{outcome}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExchangeOutcome {
    /// Request and response were told apart; its times are in the histograms.
    Ok,
    /// Where the response began could not be told from TLS session tickets; no sample.
    Doubtful,
    /// The connection does not carry one exchange at a time (HTTP/2), or could not be read; no
    /// sample.
    Ambiguous,
    /// The connection closed in order before anything arrived in answer.
    NoResponse,
    /// The connection broke.
    Reset,
}

impl ExchangeOutcome {
    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Doubtful => "doubtful",
            Self::Ambiguous => "ambiguous",
            Self::NoResponse => "no_response",
            Self::Reset => "reset",
        }
    }
}

/// What an exchange was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// How it went.
    pub outcome: ExchangeOutcome,
    /// Last byte of the request handed to the kernel → first byte of the response arrived, ns.
    pub first_byte_ns: Option<u64>,
    /// First → last byte of the response arrived, ns.
    pub response_ns: Option<u64>,
}

/// Session tickets of one endpoint, told from responses by their size.
///
/// A TLS 1.3 server sends tickets right after the handshake; they arrive where the first response
/// is expected. The programs put what arrives within a round trip and a half of the handshake aside
/// as *early*. A server's tickets are of about one size, so the smallest early sum that is seen
/// regularly is theirs; where more came early, a response may have begun among them.
#[derive(Debug, Default)]
pub struct Tickets {
    /// Early sums seen, and how often.
    sizes: Vec<(u64, u32)>,
    seen: u32,
}

impl Tickets {
    /// Distinct early sums remembered.
    const MAX_SIZES: usize = 16;
    /// One in so many is regular; fewer are accidents of timing.
    const REGULAR: u32 = 20;
    /// Tickets of one server differ by the padding of their encoding; a response is longer.
    const SLACK_BYTES: u64 = 64;

    /// Whether the early bytes are no more than tickets; learns from every answer.
    fn explain(&mut self, early_bytes: u64) -> bool {
        self.seen = self.seen.saturating_add(1);
        if let Some((_, count)) = self.sizes.iter_mut().find(|(bytes, _)| *bytes == early_bytes) {
            *count = count.saturating_add(1);
        } else if self.sizes.len() < Self::MAX_SIZES {
            self.sizes.push((early_bytes, 1));
        }
        let regular = |(_, count): &&(u64, u32)| {
            u64::from(*count) * u64::from(Self::REGULAR) >= u64::from(self.seen)
        };
        let tickets = self.sizes.iter().filter(regular).map(|(bytes, _)| *bytes).min();
        tickets.is_some_and(|bytes| early_bytes <= bytes + Self::SLACK_BYTES)
    }
}

/// Works out what an exchange was. `http2_offered`: the ClientHello's ALPN had `h2` in it.
pub fn measure(exchange: &Exchange, http2_offered: bool, tickets: &mut Tickets) -> Measured {
    let without_sample = |outcome| Measured { outcome, first_byte_ns: None, response_ns: None };
    let arrivals = &exchange.arrivals;
    let http2 = http2_offered && exchange.flags & flags::HTTP2_CONTROL != 0;
    if http2 || exchange.flags & (flags::UNREADABLE | flags::EARLY_DATA) != 0 {
        return without_sample(ExchangeOutcome::Ambiguous);
    }
    if arrivals.first_ns == 0 && arrivals.early_ns == 0 {
        return without_sample(match exchange.errno {
            0 => ExchangeOutcome::NoResponse,
            _ => ExchangeOutcome::Reset,
        });
    }
    let only_tickets = arrivals.early_ns == 0 || tickets.explain(arrivals.early_bytes);
    // What arrived before the request was complete was no answer to it, whatever its size.
    let before_request = arrivals.early_ns <= exchange.request_last_ns;
    if arrivals.first_ns == 0 || !(only_tickets || before_request) {
        return without_sample(ExchangeOutcome::Doubtful);
    }
    Measured {
        outcome: match exchange.errno {
            0 => ExchangeOutcome::Ok,
            _ => ExchangeOutcome::Reset,
        },
        // An answer that outran its own send hook took no time worth speaking of.
        first_byte_ns: Some(arrivals.first_ns.saturating_sub(exchange.request_last_ns)),
        response_ns: (exchange.errno == 0).then(|| arrivals.last_ns - arrivals.first_ns),
    }
}

/// The families of this room.
#[derive(Debug)]
pub struct ExchangeMetrics {
    first_byte_seconds: EndpointHistogram,
    response_seconds: EndpointHistogram,
    exchanges_total: OutcomeCounter,
}

impl ExchangeMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            first_byte_seconds: EndpointHistogram::register(
                registry,
                "socket_first_byte_seconds",
                "Last byte of the request handed to the kernel to first byte of the response at \
                 the socket. Neither session tickets nor ambiguous exchanges.",
            )?,
            response_seconds: EndpointHistogram::register(
                registry,
                "socket_response_seconds",
                "First byte of the response at the socket to its last byte. Observed when the \
                 next request begins or the connection closes.",
            )?,
            exchanges_total: OutcomeCounter::register(
                registry,
                "socket_exchanges_total",
                "Requests by how they went; each counts once, when the next request begins or the \
                 connection closes.",
            )?,
        })
    }

    /// An exchange is over.
    pub fn finished(&mut self, id: EndpointId, labels: &EndpointLabels, measured: &Measured) {
        self.exchanges_total.count(id, labels, measured.outcome.as_str());
        if let Some(first_byte_ns) = measured.first_byte_ns {
            self.first_byte_seconds.observe_ns(id, labels, first_byte_ns);
        }
        if let Some(response_ns) = measured.response_ns {
            self.response_seconds.observe_ns(id, labels, response_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn exchange(
        request_last_ns: u64,
        early: Option<(u64, u64)>,
        first_last: (u64, u64),
    ) -> Exchange {
        let mut exchange = Exchange::new_zeroed();
        exchange.request_last_ns = request_last_ns;
        (exchange.arrivals.early_ns, exchange.arrivals.early_bytes) = early.unwrap_or_default();
        (exchange.arrivals.first_ns, exchange.arrivals.last_ns) = first_last;
        exchange
    }

    #[test]
    fn tickets_alone_before_the_response_leave_no_doubt() {
        let mut tickets = Tickets::default();
        let measured =
            measure(&exchange(100, Some((150, 500)), (9_000, 9_500)), false, &mut tickets);
        assert_eq!(measured.outcome, ExchangeOutcome::Ok);
        assert_eq!(measured.first_byte_ns, Some(8_900));
        assert_eq!(measured.response_ns, Some(500));
    }

    #[test]
    fn more_early_bytes_than_the_tickets_are_doubtful() {
        let mut tickets = Tickets::default();
        measure(&exchange(100, Some((150, 500)), (9_000, 9_500)), false, &mut tickets);
        let measured =
            measure(&exchange(100, Some((150, 900)), (9_000, 9_500)), false, &mut tickets);
        assert_eq!(measured.outcome, ExchangeOutcome::Doubtful);
        assert_eq!(measured.first_byte_ns, None);
    }

    #[test]
    fn nothing_but_early_arrivals_is_doubtful() {
        let measured =
            measure(&exchange(100, Some((150, 500)), (0, 0)), false, &mut Tickets::default());
        assert_eq!(measured.outcome, ExchangeOutcome::Doubtful);
    }

    #[test]
    fn tickets_before_the_request_do_not_matter() {
        let mut tickets = Tickets::default();
        measure(&exchange(100, Some((150, 100)), (9_000, 9_000)), false, &mut tickets);
        let measured =
            measure(&exchange(200, Some((150, 500)), (9_000, 9_000)), false, &mut tickets);
        assert_eq!(measured.outcome, ExchangeOutcome::Ok);
    }

    #[test]
    fn an_accident_of_timing_does_not_make_every_ticket_doubtful() {
        let mut tickets = Tickets::default();
        for _ in 0..30 {
            assert!(tickets.explain(500));
        }
        assert!(tickets.explain(250));
        assert!(tickets.explain(500));
        assert!(tickets.explain(516));
        assert!(!tickets.explain(900));
    }

    #[test]
    fn http2_is_ambiguous_only_where_it_was_offered_and_spoken() {
        let mut spoken = exchange(1, None, (2, 3));
        spoken.flags = flags::HTTP2_CONTROL;
        let mut tickets = Tickets::default();
        assert_eq!(measure(&spoken, true, &mut tickets).outcome, ExchangeOutcome::Ambiguous);
        assert_eq!(measure(&spoken, false, &mut tickets).outcome, ExchangeOutcome::Ok);
    }

    #[test]
    fn a_broken_connection_keeps_its_first_byte() {
        let mut broken = exchange(1, None, (2, 3));
        broken.errno = libc::ECONNRESET as u32;
        let measured = measure(&broken, false, &mut Tickets::default());
        assert_eq!(measured.outcome, ExchangeOutcome::Reset);
        assert_eq!((measured.first_byte_ns, measured.response_ns), (Some(1), None));
        let mut silent = exchange(1, None, (0, 0));
        let mut tickets = Tickets::default();
        assert_eq!(measure(&silent, false, &mut tickets).outcome, ExchangeOutcome::NoResponse);
        silent.errno = libc::ECONNRESET as u32;
        assert_eq!(measure(&silent, false, &mut tickets).outcome, ExchangeOutcome::Reset);
    }
}
