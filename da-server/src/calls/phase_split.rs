//! Splits an attempt into its phases.

use super::sockets::ObservedConnection;
use super::{Phase, PhaseSplitter, Phases, Reuse};
use crate::kernel::{ExchangeOutcome, SeenExchange};
use crate::provider::{AttemptTimings, ConnectPoll};

/// An attempt ends when its connection has been dropped: its TLS alert may go out this long before.
const MAX_ALERT_TO_END_NS: u64 = 1_000_000;

/// What the kernel saw of an attempt.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The connection it used, or tried to get.
    pub connection: ObservedConnection,
    /// Its exchange; none if no request was sent.
    pub exchange: Option<SeenExchange>,
}

impl Seen {
    /// Whether the attempt paid for the connection: nobody used it before, and it was begun during
    /// the attempt, be it for another one.
    pub fn is_fresh(&self, timings: &AttemptTimings) -> bool {
        self.exchange.as_ref().is_none_or(|exchange| exchange.is_first)
            && self.connection.id.born_ns >= timings.asked_ns
    }

    /// When the response began to arrive. Where the kernel could not tell that from session tickets,
    /// the application can: it is the arrival that made it read the response's head. If it read none,
    /// there were only tickets.
    pub fn response_first_ns(&self, timings: &AttemptTimings) -> Option<u64> {
        let exchange = self.exchange.as_ref()?;
        if exchange.measured.outcome != ExchangeOutcome::Doubtful {
            return exchange.measured.response_first_ns;
        }
        let answered_ns = timings.answered_ns?;
        exchange.arrivals_ns.iter().copied().rfind(|at_ns| *at_ns <= answered_ns)
    }
}

/// The phases of an attempt that both sides saw.
pub fn joined(timings: &AttemptTimings, seen: &Seen) -> (Phases, Reuse) {
    let mut splitter = PhaseSplitter::new(timings.asked_ns, timings.ended_ns);
    let fresh = seen.is_fresh(timings);
    let reuse = if fresh { Reuse::Fresh } else { Reuse::Reused };
    let ready = if fresh { connect(&mut splitter, timings, seen) } else { true };
    let phases = match &seen.exchange {
        _ if !ready => splitter.rest(Phase::Unexplained),
        None if timings.body_taken_ns.is_none() => splitter.rest(Phase::Unexplained),
        None => stopped(splitter, Phase::Send, seen),
        Some(exchange) => {
            if !fresh {
                splitter.until(Phase::Queue, timings.body_taken_ns);
            }
            splitter.until(Phase::Send, request_end_ns(timings, exchange));
            answer(splitter, timings, seen)
        }
    };
    (phases, reuse)
}

/// When the last of the request was sent. What an attempt without an answer sends at its end is no
/// part of it, but the alert with which TLS closes.
fn request_end_ns(timings: &AttemptTimings, exchange: &SeenExchange) -> u64 {
    let closing = exchange.request_last_ns + MAX_ALERT_TO_END_NS >= timings.ended_ns;
    if timings.answered_ns.is_none() && closing {
        exchange.request_first_ns
    } else {
        exchange.request_last_ns
    }
}

/// From the beginning to a connection that is ready; whether it came to that.
fn connect(splitter: &mut PhaseSplitter, timings: &AttemptTimings, seen: &Seen) -> bool {
    let ObservedConnection { id, established_ns, handshake_ns, closed_ns, .. } = &seen.connection;
    let own = |poll: &ConnectPoll| (poll.from_ns..=poll.to_ns).contains(&id.born_ns);
    // Then the kernel view knows it from its first send on, and not how it came about.
    let talks = handshake_ns.is_some() || seen.exchange.is_some();
    let unseen = established_ns.is_none() && talks;
    if unseen || timings.connect_polls.iter().any(own) {
        let (dns_from_ns, dns_to_ns) = timings.dns_ns.unzip();
        splitter.until(Phase::Queue, dns_from_ns.or(timings.connecting_ns));
        splitter.until(Phase::Dns, dns_to_ns.flatten());
        splitter.until(Phase::Unexplained, id.born_ns);
    } else {
        // Begun for another attempt, which then had no use for it: until then this one waited.
        splitter.until(Phase::Queue, id.born_ns);
    }
    if established_ns.is_none() && !unseen {
        splitter.until(Phase::Connect, closed_ns.unwrap_or(timings.ended_ns));
        return false;
    }
    splitter.until(Phase::Connect, *established_ns);
    if !timings.tls {
        return true;
    }
    match handshake_ns {
        Some((from_ns, to_ns)) => {
            splitter.until(Phase::Unexplained, *from_ns).until(Phase::Tls, *to_ns);
            true
        }
        None if seen.exchange.is_some() => {
            splitter.until(Phase::Unexplained, timings.body_taken_ns);
            true
        }
        None => {
            splitter.until(Phase::Tls, closed_ns.unwrap_or(timings.ended_ns));
            false
        }
    }
}

/// From the request's last byte to the end.
fn answer(mut splitter: PhaseSplitter, timings: &AttemptTimings, seen: &Seen) -> Phases {
    match seen.response_first_ns(timings) {
        Some(first_ns) => splitter.until(Phase::Wait, first_ns),
        None if timings.answered_ns.is_some() => splitter.until(Phase::Wait, timings.answered_ns),
        None => return stopped(splitter, Phase::Wait, seen),
    };
    if timings.answered_ns.is_none() {
        return splitter.rest(Phase::Pickup);
    }
    splitter.until(Phase::Pickup, timings.answered_ns);
    content(splitter, timings)
}

/// From the response's head to the end.
fn content(mut splitter: PhaseSplitter, timings: &AttemptTimings) -> Phases {
    let phase = match timings.first_content_ns {
        Some(first_ns) => {
            splitter.until(Phase::FirstToken, first_ns);
            Phase::Stream
        }
        None => Phase::FirstToken,
    };
    if !timings.body_ended {
        return splitter.rest(phase);
    }
    splitter.until(phase, timings.last_read_ns);
    splitter.rest(Phase::Unexplained)
}

/// `phase` was the last: until the connection closed, if it did before the attempt ended. Then what is
/// left is how long the application took to notice.
fn stopped(mut splitter: PhaseSplitter, phase: Phase, seen: &Seen) -> Phases {
    match seen.connection.closed_ns {
        Some(closed_ns) => {
            splitter.until(phase, closed_ns);
            splitter.rest(Phase::Pickup)
        }
        None => splitter.rest(phase),
    }
}

/// The phases of an attempt that the application alone saw. They are coarser: `connect` includes
/// `tls`, `wait` includes `send` and `pickup`.
pub fn alone(timings: &AttemptTimings) -> (Phases, Reuse) {
    let mut splitter = PhaseSplitter::new(timings.asked_ns, timings.ended_ns);
    let own_connect = match (timings.connected_ns, timings.body_taken_ns) {
        (_, None) => timings.connecting_ns.is_some(),
        (connected_ns, taken_ns) => connected_ns.is_some() && connected_ns <= taken_ns,
    };
    let reuse = match (own_connect, timings.body_taken_ns) {
        (true, _) => Reuse::Fresh,
        (false, Some(_)) => Reuse::Reused,
        (false, None) => Reuse::Unknown,
    };
    if own_connect {
        let (from_ns, to_ns) = timings.dns_ns.unzip();
        splitter.until(Phase::Queue, from_ns.or(timings.connecting_ns));
        if from_ns.is_some() && to_ns.flatten().is_none() {
            return (splitter.rest(Phase::Dns), Reuse::Unknown);
        }
        splitter.until(Phase::Dns, to_ns.flatten());
        splitter.until(Phase::Connect, timings.connected_ns);
    } else if timings.body_taken_ns.is_none() {
        return (splitter.rest(Phase::Queue), reuse);
    }
    if timings.body_taken_ns.is_none() {
        return (splitter.rest(Phase::Unexplained), reuse);
    }
    let before_the_request = if own_connect { Phase::Send } else { Phase::Queue };
    splitter.until(before_the_request, timings.body_taken_ns);
    if timings.answered_ns.is_none() {
        return (splitter.rest(Phase::Wait), reuse);
    }
    splitter.until(Phase::Wait, timings.answered_ns);
    (content(splitter, timings), reuse)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::calls::sockets::Sockets;
    use crate::kernel::{ConnectionId, EndpointKind, Measured, Observation, What};
    use crate::provider::{ErrorKind, Outcome};

    const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 1_000);
    const REMOTE: ([u8; 4], u16) = ([127, 0, 0, 1], 443);

    fn observation(born_ns: u64, what: What) -> Observation {
        Observation {
            connection: ConnectionId { sock: 1, born_ns },
            endpoint: "a".to_owned(),
            kind: EndpointKind::Llm,
            pid: 1,
            thread: 1,
            process: String::new(),
            workload: None,
            local: SocketAddr::from(LOCAL),
            remote: SocketAddr::from(REMOTE),
            what,
        }
    }

    fn exchange(number: u64, outcome: ExchangeOutcome, arrivals_ns: &[u64]) -> What {
        let measured = Measured {
            response_first_ns: match outcome {
                ExchangeOutcome::Ok => arrivals_ns.first().copied(),
                _ => None,
            },
            ..Measured::without_sample(outcome)
        };
        What::Exchange(Box::new(SeenExchange {
            number,
            request_first_ns: 550,
            request_thread: 1,
            request_last_ns: 560,
            request_bytes: 1,
            response_bytes: 1,
            arrivals_ns: arrivals_ns.to_vec(),
            last_arrival_ns: arrivals_ns.last().copied(),
            is_first: number == 1,
            idle_before_ns: None,
            first_pickup: None,
            least_rtt_ns: None,
            run_delay_ns: None,
            is_buffered: false,
            is_http1: false,
            rtt_ns: None,
            retransmits: 0,
            window_closed_ns: 0,
            long_gaps: None,
            measured,
        }))
    }

    /// Of a connection connected from 300 to 400 and shaken from 420 to 500, and its exchange.
    fn seen(born_ns: u64, what: What) -> Seen {
        let mut sockets = Sockets::default();
        let handshake = What::HandshakeDone {
            from_ns: 420,
            to_ns: 500,
            kind: crate::kernel::HandshakeKind::Tls13,
        };
        for what in [What::Connected { from_ns: born_ns, to_ns: 400 }, handshake, what] {
            sockets.observed(observation(born_ns, what));
        }
        let addresses = (SocketAddr::from(LOCAL), SocketAddr::from(REMOTE));
        let (connection, exchange) = sockets.claim(addresses, 540, 10_000).expect("an exchange");
        Seen { connection, exchange: Some(exchange) }
    }

    /// An attempt from 100 to 2,000 which was asked, answered and read.
    fn timings() -> AttemptTimings {
        let poll = ConnectPoll { from_ns: 290, to_ns: 310, thread: 1 };
        AttemptTimings {
            ended_ns: 2_000,
            outcome: Outcome::Success,
            tls: true,
            dns_ns: Some((150, Some(280))),
            connecting_ns: Some(140),
            connected_ns: Some(510),
            connect_polls: vec![poll],
            body_taken_ns: Some(540),
            answered_ns: Some(1_200),
            first_content_ns: Some(1_300),
            last_read_ns: Some(1_900),
            body_ended: true,
            ..AttemptTimings::at(100)
        }
    }

    fn of(phases: &Phases) -> Vec<u64> {
        phases.iter().map(|(_, ns)| ns).collect()
    }

    #[test]
    fn a_fresh_connection_is_paid_for_by_its_first_attempt() {
        let (phases, reuse) =
            joined(&timings(), &seen(300, exchange(1, ExchangeOutcome::Ok, &[1_000])));
        assert_eq!(reuse, Reuse::Fresh);
        assert_eq!(of(&phases), [50, 130, 100, 80, 60, 440, 200, 100, 600, 20 + 20 + 100]);
        assert_eq!(phases.sum_ns(), 1_900);
    }

    #[test]
    fn a_reused_connection_costs_nothing() {
        for (born_ns, number) in [(50, 1), (300, 2)] {
            let seen = seen(born_ns, exchange(number, ExchangeOutcome::Ok, &[1_000]));
            let (phases, reuse) = joined(&timings(), &seen);
            assert_eq!(reuse, Reuse::Reused);
            assert_eq!(of(&phases), [440, 0, 0, 0, 20, 440, 200, 100, 600, 100]);
        }
    }

    #[test]
    fn a_connect_that_nobody_saw_is_unexplained() {
        // Known from its ClientHello on.
        let mut seen = seen(420, exchange(1, ExchangeOutcome::Ok, &[1_000]));
        seen.connection.established_ns = None;
        let (phases, reuse) = joined(&timings(), &seen);
        assert_eq!(reuse, Reuse::Fresh);
        let unexplained = 140 + 100; // from the addresses to the hello, and at the end
        assert_eq!(of(&phases), [50, 130, 0, 80, 60, 440, 200, 100, 600, unexplained]);
        assert_eq!(phases.sum_ns(), 1_900);
    }

    #[test]
    fn the_application_tells_the_answer_from_tickets() {
        let seen = seen(300, exchange(1, ExchangeOutcome::Doubtful, &[570, 1_100, 1_250]));
        let (phases, _) = joined(&timings(), &seen);
        assert_eq!((phases.ns(Phase::Wait), phases.ns(Phase::Pickup)), (540, 100));
    }

    #[test]
    fn without_an_answer_all_is_wait_and_the_close_alert_no_request() {
        let mut seen = seen(300, exchange(1, ExchangeOutcome::NoResponse, &[]));
        seen.exchange.as_mut().expect("one").request_last_ns = 1_990;
        let timings = AttemptTimings {
            outcome: Outcome::Failed(ErrorKind::Timeout),
            answered_ns: None,
            first_content_ns: None,
            body_ended: false,
            ended_ns: 2_000,
            ..timings()
        };
        let (phases, _) = joined(&timings, &seen);
        assert_eq!((phases.ns(Phase::Send), phases.ns(Phase::Wait)), (50, 1_450));
        seen.connection.closed_ns = Some(1_800);
        let (phases, _) = joined(&timings, &seen);
        assert_eq!((phases.ns(Phase::Wait), phases.ns(Phase::Pickup)), (1_250, 200));
    }

    #[test]
    fn alone_the_application_sees_fewer_phases() {
        let (phases, reuse) = alone(&timings());
        assert_eq!(reuse, Reuse::Fresh);
        assert_eq!(of(&phases), [50, 130, 230, 0, 30, 660, 0, 100, 600, 100]);
        let unresolved = AttemptTimings {
            dns_ns: Some((150, None)),
            connected_ns: None,
            body_taken_ns: None,
            answered_ns: None,
            ..timings()
        };
        let (phases, reuse) = alone(&unresolved);
        assert_eq!((phases.ns(Phase::Dns), reuse), (1_850, Reuse::Unknown));
    }
}
