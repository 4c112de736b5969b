//! Somebody who asks a provider, and what the provider's own log then says.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use da_standin::Standin;

use super::machine::Machine;
use crate::calls::line::Network;
use crate::clients::nginx::Nginx;
use crate::clients::servers::Sent;

/// What a connection carries, and so whether its exchanges can be timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// One exchange after the other.
    Http1,
    /// Several side by side.
    Http2,
    /// HTTP/1.1 that asked for an upgrade to HTTP/2, which may have been granted.
    Upgrade,
}

/// Who answers.
pub enum Server {
    Standin(Standin),
    /// A stand-in behind it.
    Nginx(Arc<Nginx>),
}

/// One of them.
pub struct Asker {
    /// The label `process`.
    pub process: String,
    /// The label `provider`.
    pub provider: &'static str,
    /// What it asks for.
    pub host: String,
    pub speaks: Speaks,
    /// Questions that are to be answered. An answer may take more than one exchange.
    pub questions: usize,
    pub server: Server,
    pub machine: Machine,
    /// Asks; returns how many questions were answered.
    pub ask: Box<dyn FnOnce() -> usize + Send>,
}

/// One that has begun.
pub struct Begun {
    pub process: String,
    pub provider: &'static str,
    pub speaks: Speaks,
    host: String,
    questions: usize,
    server: Server,
    thread: JoinHandle<(usize, Duration)>,
}

impl Asker {
    /// Begins to ask.
    pub fn begin(self, network: &Network) -> Begun {
        let Self { process, provider, host, speaks, questions, server, machine, ask } = self;
        let thread = machine.run(network, move || {
            let began = Instant::now();
            (ask(), began.elapsed())
        });
        Begun { process, provider, speaks, host, questions, server, thread }
    }
}

impl Begun {
    /// Waits until all was answered; what its provider says of it, and how long it took in all.
    pub fn end(self) -> (Sent, Duration) {
        let (answered, took) = self.thread.join().expect("it asked");
        assert_eq!(answered, self.questions, "{} at {}: answers", self.process, self.provider);
        let sent = match self.server {
            Server::Standin(standin) => Sent::to_standin(&standin.log(), &self.host),
            Server::Nginx(nginx) => {
                let lines = nginx.log(&self.host, self.questions);
                let spoken: HashSet<_> = lines.iter().map(|line| line.protocol.as_str()).collect();
                assert_eq!(spoken, HashSet::from(["HTTP/2.0"]), "{}", self.process);
                let connections: HashSet<_> = lines.iter().map(|line| line.connection).collect();
                Sent {
                    exchanges: lines.len(),
                    connections: connections.len(),
                    resumed: 0,
                    early: 0,
                    bytes: None,
                }
            }
        };
        (sent, took)
    }
}
