//! What the stand-in says of the exchanges it answered.

use std::collections::HashMap;
use std::net::SocketAddr;

use da_standin::{Event, LogEntry};

/// What the stand-in says of one exchange.
pub struct Answered {
    pub request_ns: u64,
    pub first_ns: u64,
    pub last_ns: u64,
}

/// The stand-in's exchanges by connection, in order.
pub fn answered(log: &[LogEntry]) -> HashMap<SocketAddr, Vec<Answered>> {
    let mut all: HashMap<SocketAddr, Vec<Answered>> = HashMap::new();
    for entry in log {
        let of = all.entry(entry.peer).or_default();
        match (&entry.event, of.last_mut()) {
            (Event::Request { .. }, _) => {
                of.push(Answered { request_ns: entry.t_ns, first_ns: 0, last_ns: 0 });
            }
            (Event::ResponseStart { .. }, Some(last)) => last.first_ns = entry.t_ns,
            (Event::Chunk { .. }, Some(last)) => last.last_ns = entry.t_ns,
            _ => {}
        }
    }
    all.retain(|_, exchanges| !exchanges.is_empty());
    all
}
