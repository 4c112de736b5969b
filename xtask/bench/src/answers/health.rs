//! Asks a server over and over whether it is well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(1);

/// A thread that asks until it is told to stop.
pub struct Health {
    over: Arc<AtomicBool>,
    asking: JoinHandle<Result<Duration>>,
}

impl Health {
    /// Begins.
    pub fn watch(server: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let asking = thread::spawn(move || {
            let agent = ureq::Agent::new_with_defaults();
            let mut slowest = Duration::ZERO;
            loop {
                let asked = Instant::now();
                let answer = agent.get(format!("http://{server}/health")).call();
                answer.context("/health")?.body_mut().read_to_string().context("/health")?;
                slowest = slowest.max(asked.elapsed());
                // Once more after the end: what was asked last may have waited for it.
                if ended.load(Ordering::Relaxed) {
                    return Ok(slowest);
                }
                thread::sleep(PAUSE);
            }
        });
        Self { over, asking }
    }

    /// Ends it: how long the slowest answer took, milliseconds.
    ///
    /// # Errors
    /// There was none.
    pub fn slowest_ms(self) -> Result<f64> {
        self.over.store(true, Ordering::Relaxed);
        let slowest = self.asking.join().map_err(|_| anyhow!("the thread panicked"))??;
        Ok(slowest.as_secs_f64() * 1e3)
    }
}
