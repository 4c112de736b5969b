//! Cuts an attempt into its phases.

use super::sockets::{Connection, Exchange};
use super::{Cut, Phase, Phases, Reuse};
use crate::kernel::ExchangeOutcome;
use crate::provider::Marks;

/// What the kernel saw of an attempt.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The connection it used, or tried to get.
    pub connection: Connection,
    /// Its exchange; none if no request was sent.
    pub exchange: Option<Exchange>,
}

impl Seen {
    /// Whether the attempt paid for the connection: nobody used it before, and it was begun during
    /// the attempt, be it for another one.
    pub fn is_fresh(&self, marks: &Marks) -> bool {
        self.exchange.as_ref().is_none_or(|exchange| exchange.number == 1)
            && self.connection.id.born_ns >= marks.asked_ns
    }

    /// When the response began to arrive. Where the kernel could not tell that from session tickets,
    /// the application can: it is the arrival that made it read the response's head. If it read none,
    /// there were only tickets.
    pub fn response_first_ns(&self, marks: &Marks) -> Option<u64> {
        let exchange = self.exchange.as_ref()?;
        if exchange.measured.outcome != ExchangeOutcome::Doubtful {
            return exchange.measured.response_first_ns;
        }
        let answered_ns = marks.answered_ns?;
        exchange.arrivals_ns.iter().copied().rfind(|at_ns| *at_ns <= answered_ns)
    }
}

/// The phases of an attempt that both sides saw.
pub fn joined(marks: &Marks, seen: &Seen) -> (Phases, Reuse) {
    let mut cut = Cut::new(marks.asked_ns, marks.ended_ns);
    let fresh = seen.is_fresh(marks);
    let reuse = if fresh { Reuse::Fresh } else { Reuse::Reused };
    let ready = if fresh { connect(&mut cut, marks, seen) } else { true };
    let phases = match &seen.exchange {
        _ if !ready => cut.rest(Phase::Unexplained),
        None if marks.body_taken_ns.is_none() => cut.rest(Phase::Unexplained),
        None => stopped(cut, Phase::Send, seen),
        Some(exchange) => {
            if !fresh {
                cut.until(Phase::Queue, marks.body_taken_ns);
            }
            cut.until(Phase::Send, exchange.request_last_ns);
            answer(cut, marks, seen)
        }
    };
    (phases, reuse)
}

/// From the beginning to a connection that is ready; whether it came to that.
fn connect(cut: &mut Cut, marks: &Marks, seen: &Seen) -> bool {
    let Connection { id, established_ns, handshake_ns, closed_ns, .. } = &seen.connection;
    let own = |&(from_ns, to_ns): &(u64, u64)| (from_ns..=to_ns).contains(&id.born_ns);
    if marks.connect_polls_ns.iter().any(own) {
        let (dns_from_ns, dns_to_ns) = marks.dns_ns.unzip();
        cut.until(Phase::Queue, dns_from_ns.or(marks.connecting_ns));
        cut.until(Phase::Dns, dns_to_ns.flatten());
        cut.until(Phase::Unexplained, id.born_ns);
    } else {
        // Begun for another attempt, which then had no use for it: until then this one waited.
        cut.until(Phase::Queue, id.born_ns);
    }
    if established_ns.is_none() {
        cut.until(Phase::Connect, closed_ns.unwrap_or(marks.ended_ns));
        return false;
    }
    cut.until(Phase::Connect, *established_ns);
    if !marks.tls {
        return true;
    }
    match handshake_ns {
        Some((from_ns, to_ns)) => {
            cut.until(Phase::Unexplained, *from_ns).until(Phase::Tls, *to_ns);
            true
        }
        None if seen.exchange.is_some() => {
            cut.until(Phase::Unexplained, marks.body_taken_ns);
            true
        }
        None => {
            cut.until(Phase::Tls, closed_ns.unwrap_or(marks.ended_ns));
            false
        }
    }
}

/// From the request's last byte to the end.
fn answer(mut cut: Cut, marks: &Marks, seen: &Seen) -> Phases {
    match seen.response_first_ns(marks) {
        Some(first_ns) => cut.until(Phase::Wait, first_ns),
        None if marks.answered_ns.is_some() => cut.until(Phase::Wait, marks.answered_ns),
        None => return stopped(cut, Phase::Wait, seen),
    };
    if marks.answered_ns.is_none() {
        return cut.rest(Phase::Pickup);
    }
    cut.until(Phase::Pickup, marks.answered_ns);
    content(cut, marks)
}

/// From the response's head to the end.
fn content(mut cut: Cut, marks: &Marks) -> Phases {
    let phase = match marks.first_content_ns {
        Some(first_ns) => {
            cut.until(Phase::FirstToken, first_ns);
            Phase::Stream
        }
        None => Phase::FirstToken,
    };
    if !marks.body_ended {
        return cut.rest(phase);
    }
    cut.until(phase, marks.last_read_ns);
    cut.rest(Phase::Unexplained)
}

/// `phase` was the last: until the connection closed, if it did before the attempt ended.
fn stopped(mut cut: Cut, phase: Phase, seen: &Seen) -> Phases {
    match seen.connection.closed_ns {
        Some(closed_ns) => {
            cut.until(phase, closed_ns);
            cut.rest(Phase::Unexplained)
        }
        None => cut.rest(phase),
    }
}

/// The phases of an attempt that the application alone saw. They are coarser: `connect` includes
/// `tls`, `wait` includes `send` and `pickup`.
pub fn alone(marks: &Marks) -> (Phases, Reuse) {
    let mut cut = Cut::new(marks.asked_ns, marks.ended_ns);
    let own_connect = match (marks.connected_ns, marks.body_taken_ns) {
        (_, None) => marks.connecting_ns.is_some(),
        (connected_ns, taken_ns) => connected_ns.is_some() && connected_ns <= taken_ns,
    };
    let reuse = match (own_connect, marks.body_taken_ns) {
        (true, _) => Reuse::Fresh,
        (false, Some(_)) => Reuse::Reused,
        (false, None) => Reuse::Unknown,
    };
    if own_connect {
        let (from_ns, to_ns) = marks.dns_ns.unzip();
        cut.until(Phase::Queue, from_ns.or(marks.connecting_ns));
        if from_ns.is_some() && to_ns.flatten().is_none() {
            return (cut.rest(Phase::Dns), Reuse::Unknown);
        }
        cut.until(Phase::Dns, to_ns.flatten());
        cut.until(Phase::Connect, marks.connected_ns);
    } else if marks.body_taken_ns.is_none() {
        return (cut.rest(Phase::Queue), reuse);
    }
    if marks.body_taken_ns.is_none() {
        return (cut.rest(Phase::Unexplained), reuse);
    }
    let before_the_request = if own_connect { Phase::Send } else { Phase::Queue };
    cut.until(before_the_request, marks.body_taken_ns);
    if marks.answered_ns.is_none() {
        return (cut.rest(Phase::Wait), reuse);
    }
    cut.until(Phase::Wait, marks.answered_ns);
    (content(cut, marks), reuse)
}
