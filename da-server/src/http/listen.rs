//! Listening: which routes each listener has, their limits, and how they open and close.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum_server::Handle;
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use super::ApiError;
use super::write_timeout::WriteTimeoutAcceptor;
use crate::Listeners;

/// A connection that has not sent a whole request by then is closed.
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A request that has no response by then is answered with 504. WebSockets are upgraded at once,
/// so this does not limit them.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection whose other end takes nothing for so long, while there is something to send, is closed.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that a connection may have open side by side, where it speaks HTTP/2.
const MAX_STREAMS: u32 = 16;
/// No route takes a body; this much is tolerated.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Routes, by the listener they belong to.
pub(super) struct Routes {
    /// On the main listener alone.
    pub(super) main: Router,
    /// On every listener.
    pub(super) health: Router,
    /// On the listener for metrics; on the main one where there is none.
    pub(super) for_operators: Router,
    /// Of the main listener; the one for metrics has [`WRITE_TIMEOUT`].
    pub(super) write_timeout: Duration,
}

impl Routes {
    /// Serves until `shutdown`, then gives open requests `grace`.
    ///
    /// # Errors
    /// A listener can't be used.
    pub(super) async fn serve(
        self,
        listeners: Listeners,
        grace: Duration,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let Self { main, health, for_operators, write_timeout } = self;
        let handle = Handle::new();
        let closing = handle.clone();
        tokio::spawn(async move {
            shutdown.cancelled().await;
            closing.graceful_shutdown(Some(grace));
        });
        let main = main.merge(health.clone());
        match listeners.metrics {
            None => accept(listeners.main, main.merge(for_operators), write_timeout, handle).await,
            Some(listener) => {
                let main = accept(listeners.main, main, write_timeout, handle.clone());
                let operators =
                    accept(listener, for_operators.merge(health), WRITE_TIMEOUT, handle);
                tokio::try_join!(main, operators).map(|_| ())
            }
        }
    }
}

async fn accept(
    listener: TcpListener,
    routes: Router,
    write_timeout: Duration,
    handle: Handle<SocketAddr>,
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
        .acceptor(WriteTimeoutAcceptor(write_timeout))
        .first_request_timeout(REQUEST_HEAD_TIMEOUT)
        .handle(handle);
    server.http_builder().http1().header_read_timeout(REQUEST_HEAD_TIMEOUT);
    server.http_builder().http2().max_concurrent_streams(MAX_STREAMS);
    server.serve(routes.into_make_service()).await.with_context(|| format!("serving {address}"))
}
