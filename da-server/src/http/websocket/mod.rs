//! `/ws`: who is let in, and how many.

mod admission;
mod connection;
mod metrics;
mod origin;
mod proxies;

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
use crate::App;
use crate::config::WebSocketConfig;
use crate::game::Limits;
use crate::metrics::{CloseReason, ErrorType, Registry};
use admission::{Admission, Admitted, Refusal};
use connection::Connection;
use metrics::WebSocketMetrics;
use proxies::ProxyWarnings;

/// What is read of a connection at once. A longer message takes more for as long as it is there.
const READ_BUFFER_BYTES: usize = 2048;

/// Where players come in.
pub(super) struct Door {
    app: Arc<App>,
    admission: Arc<Admission>,
    warnings: ProxyWarnings,
    metrics: WebSocketMetrics,
    /// The server was told to stop.
    shutdown: CancellationToken,
    /// Counts the connections that are open, for an orderly end.
    pub(super) open: TaskTracker,
}

impl Door {
    /// An open door.
    ///
    /// # Errors
    /// A family is already registered.
    pub(super) fn new(
        app: Arc<App>,
        registry: &Registry,
        shutdown: CancellationToken,
    ) -> prometheus::Result<Arc<Self>> {
        let config = &app.config.websocket;
        let now = Instant::now();
        Ok(Arc::new(Self {
            admission: Admission::new(config, now),
            warnings: ProxyWarnings::new(now),
            metrics: WebSocketMetrics::register(registry, config.max_sessions)?,
            shutdown,
            open: TaskTracker::new(),
            app,
        }))
    }

    fn config(&self) -> &WebSocketConfig {
        &self.app.config.websocket
    }

    fn limits(&self, place: &Admitted) -> Limits {
        Limits {
            idle: Duration::from_secs(self.config().idle_seconds),
            grace: Duration::from_secs(self.app.config.grace_seconds),
            shutdown: self.shutdown.clone(),
            address_requests: place.requests(),
        }
    }

    /// Plays with whoever is behind `socket`, if they are let in, and counts how it ended.
    async fn welcome(self: Arc<Self>, socket: WebSocket, place: Result<Admitted, Refusal>) {
        let connection = Connection::new(socket, self.config());
        let ended = match place {
            Err(refusal) => connection.refuse(refusal).await,
            Ok(place) => {
                let _active = self.metrics.open();
                let ended = connection.run(&self.app.game, self.limits(&place)).await;
                if ended.reason == CloseReason::StoreUnavailable {
                    place.give_back_start(Instant::now());
                }
                ended
            }
        };
        let reason = ended.reason;
        if reason == CloseReason::SlowPlayer {
            self.app.errors.count(ErrorType::SlowPlayer);
        }
        self.metrics.closed(reason);
        tracing::debug!(reason = reason.as_str(), "connection ended");
        // The place is free by now: how long this takes is the client's affair.
        ended.say_goodbye().await;
    }
}

/// `/ws`
pub(super) fn router(door: Arc<Door>) -> Router {
    Router::new().route("/ws", get(upgrade)).with_state(door)
}

async fn upgrade(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    // The origin comes first: a page that may not connect learns nothing else.
    if !origin::is_allowed(request.headers(), &door.config().allowed_origins) {
        door.metrics.closed(CloseReason::OriginRefused);
        return ApiError::origin_refused().into_response();
    }
    if door.shutdown.is_cancelled() {
        door.metrics.closed(CloseReason::ServerShutdown);
        return ApiError::shutting_down().into_response();
    }
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(_) => return ApiError::not_a_websocket().into_response(),
    };
    let config = door.config();
    let client = client_address::client(peer.ip(), &parts.headers, &config.trusted_proxies);
    // Before the upgrade: who is refused may do nothing but hear why.
    let now = Instant::now();
    let place = door.admission.admit(client, now);
    let turned_away = place.as_ref().is_err_and(Refusal::is_of_address);
    let (who, trusted) = ((peer.ip(), client), &config.trusted_proxies);
    door.warnings.look_at(who, &parts.headers, trusted, turned_away, now);
    let limit = config.max_message_bytes;
    let lost = door.clone();
    let token = door.open.token();
    upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        // Each connection has one; players' messages are far smaller than what is read at once by default.
        .read_buffer_size(READ_BUFFER_BYTES)
        .on_failed_upgrade(move |_| lost.metrics.closed(CloseReason::ConnectionLost))
        .on_upgrade(move |socket| async move {
            door.welcome(socket, place).await;
            drop(token);
        })
}
