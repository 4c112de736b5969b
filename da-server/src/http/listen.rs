//! Listening: which routes each listener has, their limits, and how they open and close.

use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use super::ApiError;
use super::guard::Guard;
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
    /// Before those.
    pub(super) guard: Guard,
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
        let Self { main, health, for_operators, guard, write_timeout } = self;
        let handle = Handle::new();
        let closing = handle.clone();
        tokio::spawn(async move {
            shutdown.cancelled().await;
            closing.graceful_shutdown(Some(grace));
        });
        let Guard { tls, headers, .. } = guard;
        // Ends with this future.
        let mut refreshing = JoinSet::new();
        let tls = tls.map(|tls| {
            let in_force = tls.in_force();
            refreshing.spawn(tls.keep_fresh());
            in_force
        });
        let main = main.merge(health.clone());
        match listeners.metrics {
            None => {
                let routes = with_headers(main.merge(for_operators), headers);
                accept(listeners.main, routes, write_timeout, None, handle).await
            }
            Some(listener) => {
                let main = accept(listeners.main, main, write_timeout, None, handle.clone());
                let routes = with_headers(for_operators.merge(health), headers);
                let operators = accept(listener, routes, WRITE_TIMEOUT, tls, handle);
                tokio::try_join!(main, operators).map(|_| ())
            }
        }
    }
}

/// `routes`, with these headers in every response that doesn't say them itself.
fn with_headers(routes: Router, headers: HeaderMap) -> Router {
    if headers.is_empty() {
        return routes;
    }
    routes.layer(map_response(move |mut response: Response| {
        for (name, value) in &headers {
            response.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        ready(response)
    }))
}

async fn accept(
    listener: TcpListener,
    routes: Router,
    write_timeout: Duration,
    tls: Option<RustlsConfig>,
    handle: Handle<SocketAddr>,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("listener")?;
    tracing::info!(%address, tls = tls.is_some(), "listening");
    let routes = routes
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, RESPONSE_TIMEOUT))
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES))
        .into_make_service();
    let mut server = axum_server::from_tcp(listener)
        .with_context(|| format!("can't accept on {address}"))?
        .first_request_timeout(REQUEST_HEAD_TIMEOUT)
        .handle(handle);
    server.http_builder().http1().header_read_timeout(REQUEST_HEAD_TIMEOUT);
    server.http_builder().http2().max_concurrent_streams(MAX_STREAMS);
    let acceptor = WriteTimeoutAcceptor(write_timeout);
    let served = match tls {
        None => server.acceptor(acceptor).serve(routes).await,
        Some(tls) => {
            let acceptor = RustlsAcceptor::new(tls).acceptor(acceptor);
            server.acceptor(acceptor).serve(routes).await
        }
    };
    served.with_context(|| format!("serving {address}"))
}
