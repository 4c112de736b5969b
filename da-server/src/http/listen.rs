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
use super::operator_access::OperatorAccess;
use super::own_host;
use super::write_timeout::WriteTimeoutAcceptor;
use crate::Listeners;

/// A connection that has not sent a whole first request by then is closed.
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

/// Longest request line and headers together; a longer one is refused with 431. Of each connection so much may
/// be held in memory before anything is known of it.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Routes, by the listener they belong to.
pub(super) struct Routes {
    /// On the main listener alone.
    pub(super) main: Router,
    /// On every listener.
    pub(super) health: Router,
    /// On the listener for metrics; on the main one where there is none.
    pub(super) for_operators: Router,
    /// Before those.
    pub(super) operator_access: OperatorAccess,
    /// Origins whose names are the server's own on a loopback address as well.
    pub(super) allowed_origins: Vec<String>,
    /// A connection that asks for nothing more for so long is closed.
    pub(super) keep_alive: Duration,
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
        let Self {
            main,
            health,
            for_operators,
            operator_access,
            allowed_origins,
            keep_alive,
            write_timeout,
        } = self;
        let handle = Handle::new();
        let closing = handle.clone();
        tokio::spawn(async move {
            shutdown.cancelled().await;
            closing.graceful_shutdown(Some(grace));
        });
        let OperatorAccess { tls, headers, .. } = operator_access;
        // Ends with this future.
        let mut refreshing = JoinSet::new();
        let tls = tls.map(|tls| {
            let in_force = tls.in_force();
            refreshing.spawn(tls.watch_files());
            in_force
        });
        let main = main.merge(health.clone());
        let names = &allowed_origins;
        let main_timeouts = Timeouts { keep_alive, write: write_timeout };
        match listeners.metrics {
            None => {
                let routes = with_headers(main.merge(for_operators), headers);
                accept(listeners.main, routes, names, main_timeouts, None, handle).await
            }
            Some(listener) => {
                let main = accept(listeners.main, main, names, main_timeouts, None, handle.clone());
                let routes = with_headers(for_operators.merge(health), headers);
                let timeouts = Timeouts { keep_alive, write: WRITE_TIMEOUT };
                let operators = accept(listener, routes, names, timeouts, tls, handle);
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

/// When a connection is given up.
#[derive(Clone, Copy)]
struct Timeouts {
    /// It asks for nothing more.
    keep_alive: Duration,
    /// It takes nothing.
    write: Duration,
}

async fn accept(
    listener: TcpListener,
    routes: Router,
    names: &[String],
    timeouts: Timeouts,
    tls: Option<RustlsConfig>,
    handle: Handle<SocketAddr>,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("listener")?;
    tracing::info!(%address, tls = tls.is_some(), "listening");
    let routes = routes
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, RESPONSE_TIMEOUT))
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES));
    let routes = own_host::require(routes, address, names)
        .into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp(listener)
        .with_context(|| format!("can't accept on {address}"))?
        .first_request_timeout(REQUEST_HEAD_TIMEOUT)
        .handle(handle);
    // From the end of one request to the end of the next one's head: most of it is idle time, and a load
    // balancer must be the first to give up an idle connection, or it sends a request into a closed one.
    server.http_builder().http1().header_read_timeout(timeouts.keep_alive);
    server.http_builder().http1().max_buf_size(MAX_HEAD_BYTES);
    server.http_builder().http2().max_concurrent_streams(MAX_STREAMS);
    let acceptor = WriteTimeoutAcceptor(timeouts.write);
    let served = match tls {
        None => server.acceptor(acceptor).serve(routes).await,
        Some(tls) => {
            let acceptor = RustlsAcceptor::new(tls).acceptor(acceptor);
            server.acceptor(acceptor).serve(routes).await
        }
    };
    served.with_context(|| format!("serving {address}"))
}
