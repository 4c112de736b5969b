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

use crate::Listeners;
use crate::calls::CallHistory;
use crate::config::Config;
use crate::game::Game;
use crate::kernel::Reason;
use crate::metrics::{ErrorMetrics, Metrics};
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

/// What the game's server shows and plays.
pub struct Served {
    /// Listeners' limits, access, and what the page is told.
    pub config: Config,
    /// The registry and its exposition.
    pub metrics: Metrics,
    /// `errors_total`.
    pub errors: ErrorMetrics,
    /// Scenes, providers and the store.
    pub game: Game,
    /// Calls to show.
    pub history: Arc<CallHistory>,
    /// Why there is no kernel view, if so.
    pub kernel_missing: Option<Reason>,
}

/// Serves the game until `shutdown`, then gives open connections the configured grace time.
///
/// # Errors
/// A listener can't be used, or a file that the access to metrics needs.
pub async fn serve(
    served: Served,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Served { config, metrics, errors, game, history, kernel_missing } = served;
    let game = Arc::new(game);
    let grace = Duration::from_secs(config.grace_seconds);
    let operator_access =
        OperatorAccess::configured(&config.metrics, &listeners, metrics.registry())?;
    let access = || operator_access.access.clone();
    let calls = calls::router(history, access(), shutdown.clone());
    let websocket = WebSocketState::new(
        Arc::clone(&game),
        config.websocket.clone(),
        grace,
        errors,
        metrics.registry(),
        shutdown.clone(),
    )?;
    let health = admin::game_health(Arc::clone(&game), &config.llm, kernel_missing);
    let routes = Routes {
        main: Router::new()
            .merge(page::game())
            .merge(api::router(Arc::clone(&game), &config))
            .merge(websocket::router(websocket.clone())),
        health: health.merge(admin::readiness(shutdown.clone())),
        for_operators: admin::metrics(metrics, access()).merge(calls),
        operator_access,
        allowed_origins: config.websocket.allowed_origins.clone(),
        keep_alive: Duration::from_secs(config.keep_alive_seconds),
        // A player's connection has a limit of its own, and that one knows whose it is.
        write_timeout: WRITE_TIMEOUT + Duration::from_secs(config.websocket.write_timeout_seconds),
    };
    // Ends with this future.
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let (game, shutdown) = (Arc::clone(&game), shutdown.clone());
        async move { game.store().run_retention(shutdown).await }
    });
    tasks.spawn({
        let game = Arc::clone(&game);
        async move { game.store().monitor().await }
    });
    tasks.spawn({
        let game = Arc::clone(&game);
        async move { game.release_wanted_sessions().await }
    });
    // The listeners stay until the last session has ended: whoever balances load learns by `/readyz` that
    // this server stops, and the last figures can be scraped.
    let drained = CancellationToken::new();
    let draining = async {
        shutdown.cancelled().await;
        websocket.open.close();
        if timeout(grace + SHUTDOWN_MARGIN, websocket.open.wait()).await.is_err() {
            tracing::warn!(
                sessions = websocket.open.len(),
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
    game.store().close().await;
    served
}
