//! When each processor did not run what was wanted at once: a thread on each wakes again and again, and
//! sees how late it is. It comes before the test's own threads, so only the machine itself can be the
//! cause: interrupts, or a hypervisor that had something else to run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Duration;

use da_standin::now_ns;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::turns::in_real_time;

/// From one beat to the next.
const PERIOD: Duration = Duration::from_millis(1);
/// Above the threads of the test.
const PRIORITY: i32 = 2;
/// A beat that is less late than this shows nothing. Usual are 0.05 ms.
const NEGLIGIBLE_NS: u64 = 200_000;

/// A time in which a processor stood still, by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Late {
    pub from_ns: u64,
    pub to_ns: u64,
}

/// The threads, until somebody asks what they saw. They end with it.
pub struct Heartbeat {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Late>>>,
}

impl Heartbeat {
    /// Starts a thread on each processor that this one may run on, and waits until all of them beat: to
    /// start threads takes time in which the test's own would be delayed unseen.
    pub fn start() -> Self {
        let ended = Arc::<AtomicBool>::default();
        let allowed = sched_getaffinity(None).expect("processors");
        let processors: Vec<_> =
            (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect();
        let begun = Arc::new(Barrier::new(processors.len() + 1));
        let beat = |processor| {
            let (ended, begun) = (Arc::clone(&ended), Arc::clone(&begun));
            std::thread::spawn(move || beat(processor, &ended, &begun))
        };
        let threads = processors.into_iter().map(beat).collect();
        begun.wait();
        Self { ended, threads }
    }

    /// Ends them; every time in which a processor stood still, of each processor.
    pub fn end(mut self) -> Vec<Vec<Late>> {
        self.ended.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads).into_iter();
        threads.map(|thread| thread.join().expect("a heartbeat")).collect()
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn beat(processor: usize, ended: &AtomicBool, begun: &Barrier) -> Vec<Late> {
    let mut only = CpuSet::new();
    only.set(processor);
    // Where either is refused a beat is late for more reasons, each of which keeps the test waiting too.
    let _ = sched_setaffinity(None, &only);
    let _ = in_real_time(PRIORITY);
    let mut late = Vec::new();
    begun.wait();
    while !ended.load(Ordering::Relaxed) {
        let due_ns = now_ns() + PERIOD.as_nanos() as u64;
        std::thread::sleep(PERIOD);
        let woken_ns = now_ns();
        if woken_ns > due_ns + NEGLIGIBLE_NS {
            late.push(Late { from_ns: due_ns, to_ns: woken_ns });
        }
    }
    late
}
