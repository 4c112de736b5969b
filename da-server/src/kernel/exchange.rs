//! Requests and responses: `socket_first_byte_seconds`, `socket_response_seconds`,
//! `socket_exchanges_total`.

pub(super) mod tickets;

use da_ebpf_common::arrival::FirstArrivals;
use da_ebpf_common::connection::flags;
use da_ebpf_common::exchange::{End, Exchange};
use serde::Deserialize;

use self::tickets::{ResponseStart, Tickets};
use super::series::family::{DetailCounter, EndpointHistogram};
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// How an exchange went: label value of `socket_exchanges_total{outcome}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeOutcome {
    /// Request and response were told apart; its times are in the histograms.
    Ok,
    /// When the response began is not known: it could not be told from TLS session tickets, or nobody saw it
    /// arrive; no sample.
    Doubtful,
    /// Not told apart from others; no sample. A connection that carries exchanges side by side
    /// (HTTP/2) counts as one, since how many it carries does not show.
    Ambiguous,
    /// The connection closed in order before anything arrived in answer, or nothing but a close alert.
    NoResponse,
    /// The connection broke (reset, timed out) before either side had closed it; whether the
    /// response was complete by then can't be seen.
    Reset,
    /// The client dropped the connection at once: with data unread, or by a reset of its own.
    Aborted,
}

impl ExchangeOutcome {
    /// Every value.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Doubtful, Self::Ambiguous, Self::NoResponse, Self::Reset, Self::Aborted];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Doubtful => "doubtful",
            Self::Ambiguous => "ambiguous",
            Self::NoResponse => "no_response",
            Self::Reset => "reset",
            Self::Aborted => "aborted",
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
    /// First → last byte of the response arrived, ns; none where the connection broke.
    pub response_ns: Option<u64>,
    /// When its first byte arrived, ns of `CLOCK_MONOTONIC`.
    pub response_first_ns: Option<u64>,
    /// When its last byte arrived.
    pub response_last_ns: Option<u64>,
}

impl Measured {
    /// Counted, and nothing else.
    pub fn without_sample(outcome: ExchangeOutcome) -> Self {
        Self {
            outcome,
            first_byte_ns: None,
            response_ns: None,
            response_first_ns: None,
            response_last_ns: None,
        }
    }
}

/// `HTTP/1.1 100 Continue` and two line ends: no other response is so long.
const CONTINUE_BYTES: u64 = 25;
/// A TLS 1.3 record is so much longer than its plaintext: RFC 8446 §5.2; Java pads by 16 bytes.
const TLS13_OVERHEAD_BYTES: [u64; 2] = [22, 22 + 16];
/// The same of TLS 1.2, with ChaCha20 (RFC 7905) and with AES-GCM (RFC 5288).
const TLS12_OVERHEAD_BYTES: [u64; 2] = [21, 29];

/// Whether an arrival is as long as an interim response (RFC 9110 §15.2.1).
fn is_continue(bytes: u64, connection_flags: u32) -> bool {
    let Some(overhead) = bytes.checked_sub(CONTINUE_BYTES) else { return false };
    if connection_flags & flags::TLS == 0 {
        overhead == 0
    } else if connection_flags & flags::TLS13 != 0 {
        TLS13_OVERHEAD_BYTES.contains(&overhead)
    } else {
        TLS12_OVERHEAD_BYTES.contains(&overhead)
    }
}

/// Works out what an exchange was; none if nothing arrived that ends one, and the next request is the
/// rest of this one: session tickets, or leave to go on (`Expect: 100-continue`).
///
/// `mixed`: with other exchanges ([`super::interleaving`]) or with the handshake (0-RTT).
/// `first_arrivals`: where session tickets may be among them, `tickets` tells the response from these.
pub fn measure(
    exchange: &Exchange,
    mixed: bool,
    first_arrivals: Option<&FirstArrivals>,
    tickets: &mut Tickets,
) -> Option<Measured> {
    const OPAQUE: u32 = flags::UNREADABLE | flags::EARLY_DATA;
    if mixed || exchange.flags & OPAQUE != 0 {
        return Some(Measured::without_sample(ExchangeOutcome::Ambiguous));
    }
    if exchange.flags & flags::SKIPPED_ARRIVAL != 0 {
        return Some(Measured::without_sample(ExchangeOutcome::Doubtful));
    }
    let goes_on = exchange.end == End::NextRequest as u32;
    let response = &exchange.response;
    // Their report goes before that of a first exchange behind TLS 1.3: without it, it was lost.
    let unreported = first_arrivals.is_none()
        && exchange.number == 1
        && exchange.flags & flags::TLS13 != 0
        && response.arrivals > 0;
    let start = match first_arrivals.filter(|first| first.finished_ns != 0) {
        None if unreported => ResponseStart::Doubtful,
        None if response.first_ns == 0 => ResponseStart::Nowhere,
        None => ResponseStart::At(response.first_ns),
        Some(first) => tickets.response_start(first, exchange.number, exchange.end),
    };
    let last_bytes = match first_arrivals {
        None => response.bytes,
        Some(first) => first.kept().last().map_or(0, |arrival| arrival.bytes.into()),
    };
    let alone = start == ResponseStart::At(response.last_ns) || start == ResponseStart::Doubtful;
    if goes_on
        && (start == ResponseStart::NotYet || alone && is_continue(last_bytes, exchange.flags))
    {
        return None;
    }
    let first_ns = match start {
        ResponseStart::At(at_ns) => Some(at_ns),
        ResponseStart::Nowhere => None,
        ResponseStart::Doubtful | ResponseStart::NotYet => {
            return Some(Measured::without_sample(ExchangeOutcome::Doubtful));
        }
    };
    let outcome = match (first_ns, exchange.errno) {
        (_, errno) if errno != 0 => ExchangeOutcome::Reset,
        _ if exchange.end == End::Aborted as u32 => ExchangeOutcome::Aborted,
        (None, _) => ExchangeOutcome::NoResponse,
        (Some(_), _) => ExchangeOutcome::Ok,
    };
    Some(Measured {
        outcome,
        // An answer that outran its own send hook took no time worth speaking of. Where that hook never came,
        // nobody knows.
        first_byte_ns: first_ns
            .filter(|_| exchange.request_thread != 0)
            .map(|at_ns| at_ns.saturating_sub(exchange.request_last_ns)),
        response_ns: first_ns
            .filter(|_| outcome == ExchangeOutcome::Ok)
            .map(|at_ns| response.last_ns.saturating_sub(at_ns)),
        response_first_ns: first_ns,
        response_last_ns: first_ns
            .filter(|_| outcome == ExchangeOutcome::Ok)
            .map(|_| response.last_ns),
    })
}

/// The families of this module.
#[derive(Debug)]
pub struct ExchangeMetrics {
    first_byte_seconds: EndpointHistogram,
    response_seconds: EndpointHistogram,
    exchanges_total: DetailCounter,
}

impl ExchangeMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: SocketRegistry<'_>) -> prometheus::Result<Self> {
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
            exchanges_total: DetailCounter::register(
                registry,
                "socket_exchanges_total",
                "Requests by how they went; each counts once, when the next request begins, the \
                 connection closes, or nothing has happened on it for kernel.silence_seconds.",
                "outcome",
            )?,
        })
    }

    /// There is a first connection: its series are there before one fails, so that a rate sees that.
    pub fn began(&mut self, id: SeriesId, labels: &SeriesLabels) {
        for outcome in ExchangeOutcome::ALL {
            self.exchanges_total.add(id, labels, outcome.as_str(), 0);
        }
    }

    /// An exchange is over.
    pub fn finished(&mut self, id: SeriesId, labels: &SeriesLabels, measured: &Measured) {
        self.exchanges_total.count(id, labels, measured.outcome.as_str());
        if let Some(first_byte_ns) = measured.first_byte_ns {
            self.first_byte_seconds.observe_ns(id, labels, first_byte_ns);
        }
        if let Some(response_ns) = measured.response_ns {
            self.response_seconds.observe_ns(id, labels, response_ns);
        }
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.first_byte_seconds.forget(id);
        self.response_seconds.forget(id);
        self.exchanges_total.forget(id, labels);
    }
}

#[cfg(test)]
mod tests {
    use da_ebpf_common::arrival::Arrival;
    use zerocopy::FromZeros;

    use super::*;

    fn exchange(request_last_ns: u64, first_last: (u64, u64)) -> Exchange {
        let mut exchange = Exchange::new_zeroed();
        exchange.request_last_ns = request_last_ns;
        (exchange.response.first_ns, exchange.response.last_ns) = first_last;
        (exchange.request_bytes, exchange.request_thread) = (400, 7);
        exchange.number = 1;
        exchange.end = End::Closed as u32;
        exchange
    }

    fn measured(exchange: &Exchange, mixed: bool) -> Measured {
        measure(exchange, mixed, None, &mut Tickets::default()).expect("an exchange")
    }

    #[test]
    fn first_byte_and_response_are_told_apart() {
        let measured = measured(&exchange(100, (9_000, 9_500)), false);
        assert_eq!(measured.outcome, ExchangeOutcome::Ok);
        assert_eq!((measured.first_byte_ns, measured.response_ns), (Some(8_900), Some(500)));
    }

    #[test]
    fn what_is_mixed_up_with_something_has_no_times() {
        let found = measured(&exchange(1, (2, 3)), true);
        assert_eq!(found, Measured::without_sample(ExchangeOutcome::Ambiguous));
    }

    #[test]
    fn a_broken_connection_keeps_its_first_byte() {
        let mut broken = exchange(1, (2, 3));
        broken.errno = libc::ECONNRESET as u32;
        let found = measured(&broken, false);
        assert_eq!(found.outcome, ExchangeOutcome::Reset);
        assert_eq!((found.first_byte_ns, found.response_ns), (Some(1), None));
        let mut silent = exchange(1, (0, 0));
        assert_eq!(measured(&silent, false).outcome, ExchangeOutcome::NoResponse);
        silent.errno = libc::ECONNRESET as u32;
        assert_eq!(measured(&silent, false).outcome, ExchangeOutcome::Reset);
        let mut dropped = exchange(1, (2, 3));
        dropped.end = End::Aborted as u32;
        let found = measured(&dropped, false);
        assert_eq!(found.outcome, ExchangeOutcome::Aborted);
        assert_eq!((found.first_byte_ns, found.response_ns), (Some(1), None));
    }

    #[test]
    fn a_request_that_nobody_saw_sent_has_no_first_byte() {
        let mut unseen = exchange(9_000, (2, 3));
        (unseen.request_thread, unseen.errno) = (0, libc::ECONNRESET as u32);
        let found = measured(&unseen, false);
        assert_eq!((found.outcome, found.first_byte_ns), (ExchangeOutcome::Reset, None));
    }

    /// Two arrivals, long after one another, of which the first acknowledges so much of a request of 400
    /// bytes.
    fn two_arrivals(acked_bytes: u32) -> FirstArrivals {
        let mut first = FirstArrivals::new_zeroed();
        (first.finished_ns, first.request_end, first.count) = (90, 400, 2);
        first.arrivals[0] = Arrival { at_ns: 200, bytes: 500, acked_bytes };
        first.arrivals[1] = Arrival { at_ns: 9_000_000, bytes: 300, acked_bytes: 400 };
        first.records.count = 2;
        first.records.lengths[..2].copy_from_slice(&[500, 300]);
        first
    }

    #[test]
    fn what_comes_first_after_a_handshake_is_asked_of_the_tickets() {
        let mut tickets = Tickets::default();
        let mut found = |acked_bytes| {
            let first = two_arrivals(acked_bytes);
            measure(&exchange(100, (200, 9_000_000)), false, Some(&first), &mut tickets)
                .expect("an exchange")
        };
        let unsure = found(400);
        assert_eq!((unsure.outcome, unsure.first_byte_ns), (ExchangeOutcome::Doubtful, None));
        let sure = found(0);
        assert_eq!((sure.outcome, sure.first_byte_ns), (ExchangeOutcome::Ok, Some(8_999_900)));
    }

    #[test]
    fn without_the_report_of_what_came_first_a_ticket_may_have() {
        let mut unreported = exchange(100, (200, 9_000_000));
        (unreported.flags, unreported.response.arrivals) = (flags::TLS | flags::TLS13, 2);
        assert_eq!(measured(&unreported, false).outcome, ExchangeOutcome::Doubtful);
        unreported.number = 2;
        assert_eq!(measured(&unreported, false).outcome, ExchangeOutcome::Ok);
    }

    #[test]
    fn an_answer_that_nobody_saw_arrive_has_no_time() {
        // All of it was read before something else arrived, or nothing else did.
        for first_last in [(9_000, 9_500), (0, 0)] {
            for end in [End::NextRequest, End::Closed, End::Silence] {
                let mut skipped = exchange(100, first_last);
                (skipped.flags, skipped.end) = (flags::SKIPPED_ARRIVAL, end as u32);
                let doubtful = Measured::without_sample(ExchangeOutcome::Doubtful);
                assert_eq!(measured(&skipped, false), doubtful, "{first_last:?} {end:?}");
            }
        }
    }

    #[test]
    fn leave_to_go_on_ends_no_exchange() {
        let is_one = |bytes: u64, connection_flags: u32, end: End| {
            let mut exchange = exchange(100, (9_000, 9_000));
            (exchange.response.bytes, exchange.flags) = (bytes, connection_flags);
            exchange.end = end as u32;
            measure(&exchange, false, None, &mut Tickets::default()).is_some()
        };
        let tls13 = flags::TLS | flags::TLS13;
        let lengths = [(25, 0), (46, flags::TLS), (54, flags::TLS), (47, tls13), (63, tls13)];
        for (bytes, connection_flags) in lengths {
            assert!(!is_one(bytes, connection_flags, End::NextRequest), "{bytes}");
            assert!(is_one(bytes, connection_flags, End::Closed), "{bytes}: nothing follows");
            assert!(is_one(bytes + 1, connection_flags, End::NextRequest), "{bytes} and one more");
        }
    }

    #[test]
    fn tickets_alone_end_no_exchange() {
        let mut exchange = exchange(100, (200, 9_000_000));
        exchange.end = End::NextRequest as u32;
        let is_one = |count, acked_bytes| {
            let mut first = two_arrivals(acked_bytes);
            (first.count, first.records.count) = (count, count as u16);
            measure(&exchange, false, Some(&first), &mut Tickets::default()).is_some()
        };
        assert!(is_one(2, 0), "with a response");
        assert!(!is_one(1, 0), "without");
        assert!(is_one(1, 400), "it may be the response");
    }
}
