//! The servers' doors: the game's here, the collector's in `collector`. Routes, limits, and how they
//! open and close.

mod access;
mod admin;
mod api;
mod calls;
mod certificate_metrics;
mod client_address;
mod collector;
mod error;
mod guard;
mod gzip;
mod listen;
mod own_host;
mod page;
mod scrape;
mod terms;
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
use guard::Guard;
use listen::{Routes, WRITE_TIMEOUT};
use scrape::{ScrapeError, Scrapes};
use terms::Terms;
use websocket::Door;

/// What sessions may take beyond the grace time to say goodbye and keep their state.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What requests that are under way may take once the last session has ended.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// Serves the game until `shutdown`, then gives open connections the configured grace time.
///
/// # Errors
/// A listener can't be used, or a file that guards the metrics.
pub async fn serve(
    app: App,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let grace = Duration::from_secs(app.config.grace_seconds);
    let guard = Guard::configured(&app.config.metrics, &listeners, app.metrics.registry())?;
    let metrics = admin::metrics(app.metrics.clone(), guard.access.clone());
    let calls = calls::router(app.calls.recent.clone(), guard.access.clone(), shutdown.clone());
    let app = Arc::new(app);
    let websocket = &app.config.websocket;
    let door = Door::new(app.clone(), app.metrics.registry(), shutdown.clone())?;
    let routes = Routes {
        main: Router::new()
            .merge(page::game())
            .merge(api::router(app.clone()))
            .merge(websocket::router(door.clone())),
        health: admin::game_health(app.clone()).merge(admin::readiness(shutdown.clone())),
        for_operators: metrics.merge(calls),
        guard,
        allowed_origins: websocket.allowed_origins.clone(),
        keep_alive: Duration::from_secs(app.config.keep_alive_seconds),
        // A player's connection has a limit of its own, and that one knows whose it is.
        write_timeout: WRITE_TIMEOUT + Duration::from_secs(websocket.write_timeout_seconds),
    };
    // Ends with this future.
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let (app, shutdown) = (app.clone(), shutdown.clone());
        async move { app.game.store().keep_tidy(shutdown).await }
    });
    tasks.spawn({
        let app = app.clone();
        async move { app.game.store().watch().await }
    });
    tasks.spawn({
        let app = app.clone();
        async move { app.game.hand_over().await }
    });
    // The listeners stay until the last session has ended: whoever balances load learns by `/readyz` that
    // this server stops, and the last figures can be scraped.
    let drained = CancellationToken::new();
    let draining = async {
        shutdown.cancelled().await;
        door.open.close();
        if timeout(grace + LAST_WORDS, door.open.wait()).await.is_err() {
            tracing::warn!(sessions = door.open.len(), "sessions did not end in time");
        }
        drained.cancel();
    };
    let serving = async {
        let served = routes.serve(listeners, LAST_REQUESTS, drained.clone()).await;
        // Without a listener there is nobody to wait for.
        shutdown.cancel();
        served
    };
    let (served, ()) = tokio::join!(serving, draining);
    tasks.shutdown().await;
    app.game.store().close().await;
    served
}
