//! The collector's HTTP server: `/metrics` and `/health`, and `/calls` where there are any.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::listen::{Routes, WRITE_TIMEOUT};
use super::operator_access::OperatorAccess;
use super::{admin, calls};
use crate::Listeners;
use crate::calls::CallHistory;
use crate::config::Config;
use crate::kernel::Reason;
use crate::metrics::Metrics;

/// Serves until `shutdown`, then gives open requests the configured grace time.
///
/// # Errors
/// A listener can't be used, or a file that the access to metrics needs.
pub async fn serve_collector(
    config: &Config,
    metrics: &Metrics,
    kernel_missing: Option<Reason>,
    calls: Option<Arc<CallHistory>>,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let operator_access =
        OperatorAccess::configured(&config.metrics, &listeners, metrics.registry())?;
    let access = || operator_access.access.clone();
    let mut for_operators = admin::metrics(metrics.clone(), access());
    if let Some(calls) = calls {
        for_operators = for_operators.merge(calls::router(calls, access(), shutdown.clone()));
    }
    let routes = Routes {
        main: Router::new(),
        health: admin::collector_health(kernel_missing).merge(admin::readiness(shutdown.clone())),
        for_operators,
        operator_access,
        allowed_origins: config.websocket.allowed_origins.clone(),
        keep_alive: Duration::from_secs(config.keep_alive_seconds),
        write_timeout: WRITE_TIMEOUT,
    };
    routes.serve(listeners, Duration::from_secs(config.grace_seconds), shutdown).await
}
