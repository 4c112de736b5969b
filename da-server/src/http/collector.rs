//! What the collector serves: `/metrics` and `/health`, and `/calls` where there are any.

use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::guard::Guard;
use super::listen::{Routes, WRITE_TIMEOUT};
use super::{admin, calls};
use crate::{Collector, Listeners};

/// Serves until `shutdown`, then gives open requests the configured grace time.
///
/// # Errors
/// A listener can't be used, or a file that guards the metrics.
pub async fn serve_collector(
    collector: &Collector,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Collector { config, metrics, kernel_missing, calls } = collector;
    let guard = Guard::configured(&config.metrics, &listeners, metrics.registry())?;
    let mut for_operators = admin::metrics(metrics.clone(), guard.access.clone());
    if let Some(calls) = calls {
        let access = guard.access.clone();
        for_operators = for_operators.merge(calls::router(calls.clone(), access, shutdown.clone()));
    }
    let routes = Routes {
        main: Router::new(),
        health: admin::collector_health(*kernel_missing).merge(admin::readiness(shutdown.clone())),
        for_operators,
        guard,
        allowed_origins: config.websocket.allowed_origins.clone(),
        keep_alive: Duration::from_secs(config.keep_alive_seconds),
        write_timeout: WRITE_TIMEOUT,
    };
    routes.serve(listeners, Duration::from_secs(config.grace_seconds), shutdown).await
}
