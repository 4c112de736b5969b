//! The HTTP servers: the game's here, the collector's in `collector`. Routes, limits, start and shutdown.

mod access;
mod admin;
mod api;
mod calls;
mod certificate_metrics;
mod client_address;
mod collector;
mod error;
mod exposition_cache;
mod gzip;
mod listen;
mod operator_access;
mod own_host;
mod page;
mod scrape_negotiation;
mod tls;
mod web_config;
mod websocket;
mod write_timeout;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{App, Listeners};
pub use collector::serve_collector;

use error::ApiError;
use exposition_cache::{ExpositionCache, ScrapeError};
use listen::{Routes, WRITE_TIMEOUT};
use operator_access::OperatorAccess;
use scrape_negotiation::ScrapeNegotiation;
use websocket::WebSocketState;

/// How long sessions may take beyond the grace time to close and to store their state.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(5);

/// How long requests may take that are in progress when the last session has ended.
const REQUEST_DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Serves the game until `shutdown`, then gives open connections the configured grace time.
///
/// # Errors
/// A listener can't be used, or a file that the access to metrics needs.
pub async fn serve(
    app: App,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let grace = Duration::from_secs(app.config.grace_seconds);
    let operator_access =
        OperatorAccess::configured(&app.config.metrics, &listeners, app.metrics.registry())?;
    let metrics = admin::metrics(app.metrics.clone(), operator_access.access.clone());
    let calls =
        calls::router(app.calls.history.clone(), operator_access.access.clone(), shutdown.clone());
    let app = Arc::new(app);
    let websocket = &app.config.websocket;
    let websocket_state =
        WebSocketState::new(app.clone(), app.metrics.registry(), shutdown.clone())?;
    let routes = Routes {
        main: Router::new()
            .merge(page::game())
            .merge(api::router(app.clone()))
            .merge(websocket::router(websocket_state.clone())),
        health: admin::game_health(app.clone()).merge(admin::readiness(shutdown.clone())),
        for_operators: metrics.merge(calls),
        operator_access,
        allowed_origins: websocket.allowed_origins.clone(),
        keep_alive: Duration::from_secs(app.config.keep_alive_seconds),
        // A player's connection has a limit of its own, and that one knows whose it is.
        write_timeout: WRITE_TIMEOUT + Duration::from_secs(websocket.write_timeout_seconds),
    };
    // Ends with this future.
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let (app, shutdown) = (app.clone(), shutdown.clone());
        async move { app.game.store().run_retention(shutdown).await }
    });
    tasks.spawn({
        let app = app.clone();
        async move { app.game.store().monitor().await }
    });
    tasks.spawn({
        let app = app.clone();
        async move { app.game.release_wanted_sessions().await }
    });
    // The listeners stay until the last session has ended: whoever balances load learns by `/readyz` that
    // this server stops, and the last figures can be scraped.
    let drained = CancellationToken::new();
    let draining = async {
        shutdown.cancelled().await;
        websocket_state.open.close();
        if timeout(grace + SHUTDOWN_MARGIN, websocket_state.open.wait()).await.is_err() {
            tracing::warn!(
                sessions = websocket_state.open.len(),
                "sessions did not end within the grace time"
            );
        }
        drained.cancel();
    };
    let serving = async {
        let served = routes.serve(listeners, REQUEST_DRAIN_TIMEOUT, drained.clone()).await;
        // Without a listener there is nobody to wait for.
        shutdown.cancel();
        served
    };
    let (served, ()) = tokio::join!(serving, draining);
    tasks.shutdown().await;
    app.game.store().close().await;
    served
}
