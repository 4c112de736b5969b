//! The collector alone: the kernel view of this host and its metrics, without the game.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::bail;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::calls::CallHistory;
use crate::config::Config;
use crate::kernel::Reason;
use crate::metrics::{EventLoopMetrics, Metrics};
use crate::{Listeners, http};

/// One collector's parts.
pub struct Collector {
    /// What the operator said.
    pub config: Config,
    /// The registry and its exposition.
    pub metrics: Metrics,
    /// Why there is no kernel view, if so.
    pub kernel_missing: Option<Reason>,
    /// Calls to show, if there are any.
    pub calls: Option<Arc<CallHistory>>,
}

impl Collector {
    /// Serves on `listeners` until `shutdown`. Without a `view` (the thread that reads the kernel's
    /// events) too: a target that says `ebpf_up 0`, and for which reason, is one that an alert can
    /// be about, while a collector that ends is started over and over and takes the reason with it.
    ///
    /// # Errors
    /// A listener can't be used, or the view ended by itself: then starting again does help, and
    /// there is nothing left to serve.
    pub async fn run(
        self,
        listeners: Listeners,
        view: Option<JoinHandle<()>>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        // Ends the view, and with it the thread that waits for it, however this ends.
        let _ending = shutdown.clone().drop_guard();
        let lag = EventLoopMetrics::register(self.metrics.registry())?;
        // Ends with this future.
        let mut watching = JoinSet::new();
        watching.spawn(lag.watch());
        let Self { config, metrics, kernel_missing, calls } = self;
        let serving = http::serve_collector(
            &config,
            &metrics,
            kernel_missing,
            calls,
            listeners,
            shutdown.clone(),
        );
        let Some(view) = view else { return serving.await };
        tokio::pin!(serving);
        tokio::select! {
            served = &mut serving => served,
            _ = tokio::task::spawn_blocking(|| view.join()) => {
                if !shutdown.is_cancelled() {
                    bail!("the kernel view ended, and nothing is left to collect");
                }
                serving.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    fn run(
        view: JoinHandle<()>,
        shutdown: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> {
        let main = TcpListener::bind("127.0.0.1:0").expect("port");
        main.set_nonblocking(true).expect("non-blocking");
        let metrics = Metrics::new().expect("metrics");
        let collector =
            Collector { config: Config::default(), metrics, kernel_missing: None, calls: None };
        let run = collector.run(Listeners { main, metrics: None }, Some(view), shutdown);
        async { tokio::time::timeout(Duration::from_secs(20), run).await.expect("ends") }
    }

    #[tokio::test]
    async fn it_does_not_outlive_a_view_that_ended_by_itself() {
        for view in [std::thread::spawn(|| {}), std::thread::spawn(|| panic!("a view's end"))] {
            let error = run(view, CancellationToken::new()).await.expect_err("an end");
            assert!(error.to_string().contains("the kernel view ended"), "{error}");
        }
    }

    #[tokio::test]
    async fn it_ends_in_order_with_a_view_that_was_told_to() {
        let shutdown = CancellationToken::new();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let view = std::thread::spawn(move || {
            // Ends when the sender is dropped.
            let _ = stopped.recv();
        });
        let running = tokio::spawn(run(view, shutdown.clone()));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!running.is_finished());
        shutdown.cancel();
        drop(stop);
        running.await.expect("no panic").expect("in order");
    }
}
