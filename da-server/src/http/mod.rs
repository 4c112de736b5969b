//! The server's door: routes, limits, and how it opens and closes.

mod admin;
mod api;
mod bearer;
mod config;
mod error;
mod page;
mod websocket;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::{App, Listeners};
pub use config::WebSocketConfig;

use bearer::BearerToken;
use error::ApiError;
use websocket::Door;

/// A connection that has not sent a whole request by then is closed.
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A request that has no response by then is answered with 504. WebSockets are upgraded at once,
/// so this does not limit them.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// What sessions may take beyond the grace time to say goodbye and keep their state.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// No route takes a body; this much is tolerated.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Serves until `shutdown`, then gives open connections the configured grace time.
///
/// # Errors
/// A listener can't be used, or the metrics token can't be read.
pub async fn serve(
    app: App,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let grace = Duration::from_secs(app.config.grace_seconds);
    let token = BearerToken::configured(&app.config.metrics)?;
    warn_if_public(&listeners, token.is_some())?;
    let app = Arc::new(app);
    let door = Door::new(app.clone(), app.metrics.registry(), shutdown.clone())?;
    let game = Router::new()
        .merge(page::router())
        .merge(api::router(app.clone()))
        .merge(websocket::router(door.clone()));
    let admin = admin::router(app.clone(), token);
    let health = Router::new().route("/health", get(admin::health)).with_state(app.clone());

    let tidying = tokio::spawn({
        let (app, shutdown) = (app.clone(), shutdown.clone());
        async move { app.game.store().keep_tidy(shutdown).await }
    });
    let handle = Handle::new();
    let closing = handle.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        closing.graceful_shutdown(Some(grace));
    });
    let served = match listeners.metrics {
        None => accept(listeners.game, game.merge(admin), handle).await,
        Some(metrics) => {
            let game = accept(listeners.game, game.merge(health), handle.clone());
            tokio::try_join!(game, accept(metrics, admin, handle)).map(|_| ())
        }
    };
    // Upgraded connections are their own: they end by themselves within the grace time.
    door.open.close();
    if timeout(grace + LAST_WORDS, door.open.wait()).await.is_err() {
        tracing::warn!(sessions = door.open.len(), "sessions did not end in time");
    }
    tidying.abort();
    app.game.store().close().await;
    served
}

async fn accept(
    listener: TcpListener,
    routes: Router,
    handle: Handle<std::net::SocketAddr>,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("listener")?;
    tracing::info!(%address, "listening");
    let routes = routes
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, RESPONSE_TIMEOUT))
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES));
    let mut server = axum_server::from_tcp(listener)
        .with_context(|| format!("can't accept on {address}"))?
        .acceptor(NoDelayAcceptor::new())
        .first_request_timeout(REQUEST_HEAD_TIMEOUT)
        .handle(handle);
    server.http_builder().http1().header_read_timeout(REQUEST_HEAD_TIMEOUT);
    server.serve(routes.into_make_service()).await.with_context(|| format!("serving {address}"))
}

/// Metrics tell a stranger how busy the game is and which providers it uses.
fn warn_if_public(listeners: &Listeners, authenticated: bool) -> anyhow::Result<()> {
    let listener = listeners.metrics.as_ref().unwrap_or(&listeners.game);
    let address = listener.local_addr().context("listener")?;
    if !authenticated && !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "/metrics can be read by anyone who reaches this address: set \
             metrics.bearer_token_file, or metrics.listen to a private address"
        );
    }
    Ok(())
}
