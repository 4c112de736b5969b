//! A kernel view inside this process, for what it says of each single connection.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use da_server::kernel::{Kernel, KernelConfig, Observation, What};
use da_server::metrics::Metrics;
use tokio_util::sync::CancellationToken;

use crate::watch::one_host;

/// A loaded and reading kernel view.
pub struct View {
    observations: Receiver<Observation>,
    shutdown: CancellationToken,
    reader: Option<JoinHandle<()>>,
}

impl View {
    /// Watches one host.
    pub fn open(host: &str) -> Result<Self> {
        let config = KernelConfig { resolve: false, ..KernelConfig::default() };
        let kernel = Kernel::load(&config);
        if let Some(why) = kernel.unavailable() {
            bail!("no kernel view: {why}");
        }
        let (sender, observations) = sync_channel(1 << 18);
        let shutdown = CancellationToken::new();
        let metrics = Metrics::new()?;
        let reader = kernel.start(one_host(host), &metrics, Some(sender), shutdown.clone())?;
        Ok(Self { observations, shutdown, reader })
    }

    /// Waits until so many connections have closed, and returns what was observed of each, by the
    /// client's port.
    pub fn close(mut self, connections: usize) -> Result<HashMap<u16, Vec<What>>> {
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut seen: HashMap<u16, Vec<What>> = HashMap::new();
        let mut closed = 0;
        while closed < connections && Instant::now() < deadline {
            for one in self.observations.try_iter() {
                closed += usize::from(matches!(one.what, What::Closed { .. }));
                seen.entry(one.local.port()).or_default().push(one.what);
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.shutdown.cancel();
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| anyhow!("the kernel view's reader panicked"))?;
        }
        Ok(seen)
    }
}
