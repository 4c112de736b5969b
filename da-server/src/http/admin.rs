//! What operators and their tools ask for: `/metrics` and `/health`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::access::{self, Access};
use super::{ApiError, ScrapeError, Scrapes, Terms};
use crate::App;
use crate::kernel::Reason;
use crate::metrics::Metrics;

/// How long `/health` waits for the database: whoever asks for it waits for a few seconds, and a database
/// that hangs keeps no player from playing.
const DATABASE_PATIENCE: Duration = Duration::from_secs(1);

/// `/metrics`, for whoever may see it.
pub(super) fn metrics(metrics: Metrics, access: Option<Access>) -> Router {
    let scrapes = Scrapes::of(metrics);
    access::protect(Router::new().route("/metrics", get(scrape)).with_state(scrapes), access)
}

async fn scrape(
    State(scrapes): State<Scrapes>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let terms = Terms::of(&headers);
    let exposition = scrapes.expose(terms).await.map_err(|error| match error {
        ScrapeError::TooMany => ApiError::too_many_scrapes(),
        ScrapeError::Defect(error) => {
            tracing::error!("metrics can't be written: {error:#}");
            ApiError::internal()
        }
    })?;
    let mut answer = HeaderMap::new();
    answer.insert(header::CONTENT_TYPE, terms.content_type());
    answer.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if terms.gzip {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok((answer, exposition))
}

/// `/health` of the game: 200 as long as the process serves, and in the body which parts it has.
/// None of those that may be missing keeps players from playing, and whether a provider answers is
/// asked of nobody here: that is what the metrics show.
pub(super) fn game_health(app: Arc<App>) -> Router {
    Router::new().route("/health", get(game_parts)).with_state(app)
}

async fn game_parts(State(app): State<Arc<App>>) -> impl IntoResponse {
    // What exactly is in the log: strangers may ask here, too.
    let store = match timeout(DATABASE_PATIENCE, app.game.store().ping()).await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some("the database does not answer; the log says why"),
        Err(_) => Some("the database does not answer in time"),
    };
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

/// `/health` of the collector: 200 as long as the process serves. Without a kernel view too, since
/// starting it again would not bring one; the body and `ebpf_up` tell.
pub(super) fn collector_health(kernel_missing: Option<Reason>) -> Router {
    let body = json!({
        "status": "ok",
        "version": crate::VERSION,
        "commit": crate::COMMIT,
        "kernel": part(kernel_missing.map(Reason::as_str)),
    });
    Router::new().route("/health", get(|| async { Json(body) }))
}

fn part(missing: Option<&str>) -> Value {
    match missing {
        None => json!({"status": "ok"}),
        Some(why) => json!({"status": "missing", "why": why}),
    }
}
