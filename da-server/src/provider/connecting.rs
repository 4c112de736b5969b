//! Resolves names and makes connections as the HTTP client does, and records in the attempt's
//! [`AttemptRecorder`] when.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower_layer::Layer;
use tower_service::Service;

use super::attempt_timings::AttemptRecorder;

/// Resolves names by the configuration, else by the system.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Host name → address; see [`HttpConfig::resolve`](super::HttpConfig::resolve).
    pub known: BTreeMap<String, SocketAddr>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let known = self.known.get(name.as_str()).copied();
        let recorder = AttemptRecorder::current();
        Box::pin(async move {
            if let Some(recorder) = &recorder {
                recorder.resolving();
            }
            let addresses = match known {
                Some(address) => vec![address],
                None => tokio::net::lookup_host((name.as_str(), 0)).await?.collect(),
            };
            if let Some(recorder) = &recorder {
                recorder.resolved(addresses.iter().copied());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Puts a [`TimedConnector`] around the client's connector.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimedConnectorLayer;

impl<S> Layer<S> for TimedConnectorLayer {
    type Service = TimedConnector<S>;

    fn layer(&self, connector: S) -> TimedConnector<S> {
        TimedConnector(connector)
    }
}

/// A connector that records its connects in the attempt that asks for them. The client may give the
/// connection to another attempt, and go on connecting after this one has ended.
#[derive(Debug, Clone)]
pub(super) struct TimedConnector<S>(S);

impl<S, R> Service<R> for TimedConnector<S>
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
        match AttemptRecorder::current() {
            Some(recorder) => Box::pin(recorder.connecting(connect)),
            None => Box::pin(connect),
        }
    }
}
