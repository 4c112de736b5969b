//! Somebody whom Alertmanager tells.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use axum::extract::Path;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use tokio::runtime::Runtime;

/// A listener that takes what is posted to `/NAME`.
pub struct Webhook {
    address: SocketAddr,
    told: Receiver<(String, Value)>,
    _runtime: Runtime,
}

impl Webhook {
    pub fn start() -> Self {
        let (tell, told) = channel();
        let take = move |Path(receiver): Path<String>, Json(message): Json<Value>| async move {
            // Nobody listens any more once the test is over.
            let _ = tell.send((receiver, message));
        };
        let runtime = Runtime::new().expect("a runtime");
        let listening = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(listening).expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/{receiver}", post(take));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, told, _runtime: runtime }
    }

    /// Where a receiver of this name is told.
    pub fn url(&self, receiver: &str) -> String {
        format!("http://{}/{receiver}", self.address)
    }

    /// What the receivers were told next: which one, and of what. `None` if nothing comes in time.
    pub fn next(&self, patience: Duration) -> Option<(String, Value)> {
        match self.told.recv_timeout(patience) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the webhook has ended"),
        }
    }

    /// The first alert of this name that anybody is told of, and who is.
    pub fn told_of(&self, name: &str, patience: Duration) -> Option<(String, Value)> {
        let until = Instant::now() + patience;
        loop {
            let (receiver, message) = self.next(until.saturating_duration_since(Instant::now()))?;
            let alerts = message["alerts"].as_array().cloned().unwrap_or_default();
            let mut alerts = alerts.into_iter();
            if let Some(alert) = alerts.find(|alert| alert["labels"]["alertname"] == name) {
                return Some((receiver, alert));
            }
        }
    }
}
