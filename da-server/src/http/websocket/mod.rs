//! `/ws`: admission, and one task per connection.

mod connection;
mod metrics;
mod origin;
mod proxies;
mod session_limiter;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ApiError, client_address};
use crate::config::WebSocketConfig;
use crate::game::{Game, Limits};
use crate::metrics::{CloseReason, ErrorMetrics, ErrorType, Registry};
use connection::PlayerConnection;
use metrics::WebSocketMetrics;
use proxies::ProxyWarnings;
use session_limiter::{Refusal, SessionLimiter, SessionPermit};

/// What is read of a connection at once. A longer message takes more for as long as it is there.
const READ_BUFFER_BYTES: usize = 2048;

/// What `/ws` needs.
pub(super) struct WebSocketState {
    game: Arc<Game>,
    config: WebSocketConfig,
    /// How long a session may go on after the server was told to stop.
    grace: Duration,
    errors: ErrorMetrics,
    limiter: Arc<SessionLimiter>,
    warnings: ProxyWarnings,
    metrics: WebSocketMetrics,
    /// The server was told to stop.
    shutdown: CancellationToken,
    /// Counts the connections that are open, for an orderly end.
    pub(super) open: TaskTracker,
}

impl WebSocketState {
    /// State without connections.
    ///
    /// # Errors
    /// A family is already registered.
    pub(super) fn new(
        game: Arc<Game>,
        config: WebSocketConfig,
        grace: Duration,
        errors: ErrorMetrics,
        registry: &Registry,
        shutdown: CancellationToken,
    ) -> prometheus::Result<Arc<Self>> {
        let now = Instant::now();
        Ok(Arc::new(Self {
            limiter: SessionLimiter::new(&config, now),
            warnings: ProxyWarnings::new(now),
            metrics: WebSocketMetrics::register(registry, config.max_sessions)?,
            shutdown,
            open: TaskTracker::new(),
            game,
            config,
            grace,
            errors,
        }))
    }

    fn limits(&self, permit: &SessionPermit) -> Limits {
        Limits {
            idle: Duration::from_secs(self.config.idle_seconds),
            grace: self.grace,
            shutdown: self.shutdown.clone(),
            address_requests: permit.requests(),
        }
    }

    /// Plays over `socket` if it is admitted, and counts how that ended.
    async fn handle_socket(
        self: Arc<Self>,
        socket: WebSocket,
        permit: Result<SessionPermit, Refusal>,
    ) {
        let connection = PlayerConnection::new(socket, &self.config);
        let ended = match permit {
            Err(refusal) => connection.refuse(refusal).await,
            Ok(permit) => {
                let _active = self.metrics.open();
                let ended = connection.run(&self.game, self.limits(&permit)).await;
                if ended.reason == CloseReason::StoreUnavailable {
                    permit.give_back_start(Instant::now());
                }
                ended
            }
        };
        let reason = ended.reason;
        if reason == CloseReason::SlowPlayer {
            self.errors.count(ErrorType::SlowPlayer);
        }
        self.metrics.closed(reason);
        tracing::debug!(reason = reason.as_str(), "connection ended");
        // The permit is released by now, so the client may take its time.
        ended.close().await;
    }
}

/// `/ws`
pub(super) fn router(state: Arc<WebSocketState>) -> Router {
    Router::new().route("/ws", get(upgrade)).with_state(state)
}

async fn upgrade(
    State(state): State<Arc<WebSocketState>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    // The origin comes first: a page that may not connect learns nothing else.
    if !origin::is_allowed(request.headers(), &state.config.allowed_origins) {
        state.metrics.closed(CloseReason::OriginRefused);
        return ApiError::origin_refused().into_response();
    }
    if state.shutdown.is_cancelled() {
        state.metrics.closed(CloseReason::ServerShutdown);
        return ApiError::shutting_down().into_response();
    }
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(_) => return ApiError::not_a_websocket().into_response(),
    };
    let config = &state.config;
    let client = client_address::client(peer.ip(), &parts.headers, &config.trusted_proxies);
    // Before the upgrade: a client that is refused only gets the reason.
    let now = Instant::now();
    let permit = state.limiter.admit(client, now);
    let turned_away = permit.as_ref().is_err_and(Refusal::is_of_address);
    let (who, trusted) = ((peer.ip(), client), &config.trusted_proxies);
    state.warnings.look_at(who, &parts.headers, trusted, turned_away, now);
    let limit = config.max_message_bytes;
    let lost = state.clone();
    let token = state.open.token();
    upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        // Each connection has one; players' messages are far smaller than what is read at once by default.
        .read_buffer_size(READ_BUFFER_BYTES)
        .on_failed_upgrade(move |_| lost.metrics.closed(CloseReason::ConnectionLost))
        .on_upgrade(move |socket| async move {
            state.handle_socket(socket, permit).await;
            drop(token);
        })
}
