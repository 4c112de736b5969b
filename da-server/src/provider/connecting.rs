//! Names resolved and connections made as the HTTP client does it, but noted in the attempt's
//! [`Span`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower_layer::Layer;
use tower_service::Service;

use super::span::Span;

/// Asks the configuration, then the system.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Host name → address; see [`HttpConfig::resolve`](super::HttpConfig::resolve).
    pub known: BTreeMap<String, SocketAddr>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let known = self.known.get(name.as_str()).copied();
        let span = Span::current();
        Box::pin(async move {
            if let Some(span) = &span {
                span.resolving();
            }
            let addresses = match known {
                Some(address) => vec![address],
                None => tokio::net::lookup_host((name.as_str(), 0)).await?.collect(),
            };
            if let Some(span) = &span {
                span.resolved(addresses.iter().copied());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Puts a [`Watched`] around the client's connector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch;

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, connector: S) -> Watched<S> {
        Watched(connector)
    }
}

/// A connector whose connects are noted in the attempt that asks for them. The client may give the
/// connection to another attempt, and go on connecting after this one has ended.
#[derive(Debug, Clone)]
pub(super) struct Watched<S>(S);

impl<S, R> Service<R> for Watched<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connect = self.0.call(request);
        match Span::current() {
            Some(span) => Box::pin(span.connecting(connect)),
            None => Box::pin(connect),
        }
    }
}
