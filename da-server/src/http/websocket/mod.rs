//! `/ws`: who is let in, and how many.

mod connection;
mod metrics;
mod origin;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ApiError, WebSocketConfig};
use crate::App;
use crate::game::Limits;
use crate::metrics::{CloseReason, ErrorType, Registry};
use connection::Connection;
use metrics::WebSocketMetrics;

/// Where players come in.
pub(super) struct Door {
    app: Arc<App>,
    seats: Arc<Semaphore>,
    metrics: WebSocketMetrics,
    limits: Limits,
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
        Ok(Arc::new(Self {
            seats: Arc::new(Semaphore::new(config.max_sessions)),
            metrics: WebSocketMetrics::register(registry)?,
            limits: Limits {
                idle: Duration::from_secs(config.idle_seconds),
                grace: Duration::from_secs(app.config.grace_seconds),
                shutdown,
            },
            open: TaskTracker::new(),
            app,
        }))
    }

    fn config(&self) -> &WebSocketConfig {
        &self.app.config.websocket
    }

    /// Plays with whoever is behind `socket`, if there is room, and counts how it ended.
    async fn welcome(self: Arc<Self>, socket: WebSocket) {
        let connection = Connection::new(socket, self.config());
        let reason = match self.seats.clone().try_acquire_owned() {
            Err(_) => connection.refuse(CloseReason::Busy).await,
            Ok(_seat) => {
                let _active = self.metrics.open();
                connection.run(&self.app.game, self.limits.clone()).await
            }
        };
        if reason == CloseReason::SlowPlayer {
            self.app.errors.count(ErrorType::SlowPlayer);
        }
        self.metrics.closed(reason);
        tracing::debug!(reason = reason.as_str(), "connection ended");
    }
}

/// `/ws`
pub(super) fn router(door: Arc<Door>) -> Router {
    Router::new().route("/ws", get(upgrade)).with_state(door)
}

async fn upgrade(State(door): State<Arc<Door>>, request: Request) -> Response {
    // The origin comes first: a page that may not connect learns nothing else.
    let listen = door.app.config.listen.ip();
    if !origin::is_allowed(request.headers(), listen, &door.config().allowed_origins) {
        door.metrics.closed(CloseReason::OriginRefused);
        return ApiError::origin_refused().into_response();
    }
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(_) => return ApiError::not_a_websocket().into_response(),
    };
    let limit = door.config().max_message_bytes;
    let lost = door.clone();
    let token = door.open.token();
    upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        .on_failed_upgrade(move |_| lost.metrics.closed(CloseReason::ConnectionLost))
        .on_upgrade(move |socket| async move {
            door.welcome(socket).await;
            drop(token);
        })
}
