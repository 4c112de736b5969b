//! Which queries are this process's own, for the endpoints' hosts: nobody has waited for these.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use da_ebpf_common::peers::Peers;

use crate::clock::{own_pid, thread_id};

/// For how long a thread is known for having looked hosts up: its queries may have no answer for a third of that.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// The threads that look the endpoints' hosts up, each since when it does not any more.
type Threads = Arc<Mutex<HashMap<u32, Option<Instant>>>>;

/// See [`OwnThreads::looks_up`].
#[derive(Debug, Clone)]
pub struct OwnThreads {
    /// As the kernel knows it; in a PID namespace that is not known.
    pid: Option<u32>,
    threads: Threads,
}

/// A thread that looks hosts up while this lives.
pub struct LooksUp {
    thread: u32,
    threads: Threads,
}

impl OwnThreads {
    /// None yet.
    pub fn new() -> Self {
        Self { pid: own_pid(), threads: Threads::default() }
    }

    /// The current thread looks one up.
    pub fn looks_up(&self) -> LooksUp {
        let (thread, threads) = (thread_id(), Arc::clone(&self.threads));
        let mut all = threads.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, ended| ended.is_none_or(|ended| ended.elapsed() < KNOWN_FOR));
        all.insert(thread, None);
        drop(all);
        LooksUp { thread, threads }
    }

    /// Whether it was one of these that asked.
    pub fn have_asked(&self, peers: &Peers) -> bool {
        self.pid == Some(peers.pid) && {
            let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            threads.contains_key(&peers.thread)
        }
    }
}

impl Drop for LooksUp {
    fn drop(&mut self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.insert(self.thread, Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn a_thread_is_known_while_it_looks_up_and_a_while_after() {
        let own = OwnThreads { pid: Some(7), ..OwnThreads::new() };
        let mut peers = Peers::new_zeroed();
        (peers.pid, peers.thread) = (7, thread_id());
        assert!(!own.have_asked(&peers));
        let looks_up = own.looks_up();
        assert!(own.have_asked(&peers));
        drop(looks_up);
        assert!(own.have_asked(&peers), "its queries may have no answer yet");
        assert!(!own.have_asked(&Peers { pid: 8, ..peers }));
        assert!(!own.have_asked(&Peers { thread: thread_id() + 1, ..peers }));
    }
}
