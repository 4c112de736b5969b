//! Which queries are this process's own, for the endpoints' hosts: nobody has waited for these.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use da_ebpf_common::peers::Peers;

use crate::clock::{own_pid, thread_id};

/// For how long a thread that has looked hosts up is known for that: its queries may have no answer for as long.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// The threads that look the endpoints' hosts up.
#[derive(Debug, Clone, Default)]
pub struct OwnThreads(Arc<Mutex<HashMap<u32, Instant>>>);

impl OwnThreads {
    /// The current thread looks one up.
    pub fn looks_up(&self) {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|_, since| since.elapsed() < KNOWN_FOR);
        threads.insert(thread_id(), Instant::now());
    }

    /// Whether it was one of these that asked. In a PID namespace the kernel knows them by other numbers.
    pub fn have_asked(&self, peers: &Peers) -> bool {
        let threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        own_pid() == Some(peers.pid) && threads.contains_key(&peers.thread)
    }
}
