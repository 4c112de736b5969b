//! What operators and their tools ask for: `/metrics` and `/health`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::{ApiError, BearerToken};
use crate::App;
use crate::kernel::Reason;

/// The text format's own name, which Prometheus 3 insists on.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/metrics` and `/health`.
pub(super) fn router(app: Arc<App>, token: Option<BearerToken>) -> Router {
    let metrics = move |State(app): State<Arc<App>>, headers: HeaderMap| async move {
        if token.is_some_and(|token| !token.admits(&headers)) {
            return Err(ApiError::unauthorized());
        }
        match app.metrics.expose() {
            Ok(text) => Ok(([(header::CONTENT_TYPE, EXPOSITION)], text)),
            Err(error) => {
                tracing::error!(%error, "metrics can't be written");
                Err(ApiError::internal())
            }
        }
    };
    Router::new().route("/metrics", get(metrics)).route("/health", get(health)).with_state(app)
}

/// 200 as long as the process serves, and in the body which parts it has. None of those that may
/// be missing keeps players from playing, and whether a provider answers is asked of nobody here:
/// that is what the metrics show.
pub(super) async fn health(State(app): State<Arc<App>>) -> impl IntoResponse {
    let part = |missing: Option<&str>| match missing {
        None => json!({"status": "ok"}),
        Some(why) => json!({"status": "missing", "why": why}),
    };
    // What exactly is in the log: strangers may ask here, too.
    let unanswered = |_| "the database does not answer; the log says why";
    let store = app.game.store().ping().await.err().map(unanswered);
    let voice = (!app.game.has_voice()).then_some("no key for a speech provider");
    Json(json!({
        "status": "ok",
        "version": crate::VERSION,
        "commit": crate::COMMIT,
        "scenes": app.game.scenes().iter().count(),
        "llm": {
            "status": "ok",
            "provider": app.config.llm.provider.as_str(),
            "model": app.config.llm.model(),
        },
        "voice": part(voice),
        "store": part(store),
        "kernel": part(app.kernel_missing.map(Reason::as_str)),
    }))
}
