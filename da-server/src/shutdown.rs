//! When to stop: SIGTERM or SIGINT.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first SIGTERM or SIGINT cancels. The second one ends the process at once, for
/// an operator who can't wait for open sessions to drain.
///
/// # Errors
/// The signals can't be watched.
pub fn on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("can't watch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can't watch SIGINT")?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        for stopping in [false, true] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if stopping {
                tracing::warn!(signal = name, "second signal received, stopping immediately");
                std::process::exit(1);
            }
            tracing::info!(
                signal = name,
                "signal received, shutting down; a second signal stops immediately"
            );
            cancelled.cancel();
        }
    });
    Ok(token)
}
