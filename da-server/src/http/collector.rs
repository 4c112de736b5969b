//! The collector's door: `/metrics` and `/health`, and nothing else.

use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::admin;
use super::guard::Guard;
use super::listen::{Routes, WRITE_TIMEOUT};
use crate::Listeners;
use crate::config::Config;
use crate::kernel::Reason;
use crate::metrics::Metrics;

/// Serves until `shutdown`, then gives open requests the configured grace time.
///
/// # Errors
/// A listener can't be used, or a file that guards the metrics.
pub async fn serve_collector(
    config: &Config,
    metrics: &Metrics,
    kernel_missing: Option<Reason>,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let guard = Guard::configured(&config.metrics, &listeners, metrics.registry())?;
    let routes = Routes {
        main: Router::new(),
        health: admin::collector_health(kernel_missing).merge(admin::readiness(shutdown.clone())),
        for_operators: admin::metrics(metrics.clone(), guard.access.clone()),
        guard,
        allowed_origins: config.websocket.allowed_origins.clone(),
        keep_alive: Duration::from_secs(config.keep_alive_seconds),
        write_timeout: WRITE_TIMEOUT,
    };
    routes.serve(listeners, Duration::from_secs(config.grace_seconds), shutdown).await
}
