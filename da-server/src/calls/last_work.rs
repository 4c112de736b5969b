//! What is still to be done with calls when the program ends.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the end of the program waits for that, of each thread.
const LAST_WORK: Duration = Duration::from_secs(3);

/// Waits for a thread that is about to end by itself, so that what it has is not lost; not for long.
pub fn finish(thread: JoinHandle<()>, what: &str) {
    let deadline = Instant::now() + LAST_WORK;
    while !thread.is_finished() {
        if Instant::now() > deadline {
            tracing::warn!("the program ends although a thread had still to {what}");
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if thread.join().is_err() {
        tracing::error!("the thread that was to {what} panicked");
    }
}
