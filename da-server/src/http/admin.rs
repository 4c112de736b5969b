//! What operators and their tools ask for: `/metrics`, `/health` and `/readyz`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::access::{self, Access};
use super::{ApiError, ExpositionCache, ScrapeError, ScrapeNegotiation};
use crate::game::Game;
use crate::kernel::Reason;
use crate::llm::LlmConfig;
use crate::metrics::Metrics;
use crate::store::DatabaseHealth;

/// `/metrics`, for whoever may see it.
pub(super) fn metrics(metrics: Metrics, access: Option<Access>) -> Router {
    let cache = ExpositionCache::of(metrics);
    access::protect(Router::new().route("/metrics", get(scrape)).with_state(cache), access)
}

async fn scrape(
    State(cache): State<ExpositionCache>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let negotiation = ScrapeNegotiation::of(&headers);
    let exposition = cache.expose(negotiation).await.map_err(|error| match error {
        ScrapeError::TooMany => ApiError::too_many_scrapes(),
        ScrapeError::Defect(error) => {
            tracing::error!("can't encode the metrics: {error:#}");
            ApiError::internal()
        }
    })?;
    let mut answer = HeaderMap::new();
    answer.insert(header::CONTENT_TYPE, negotiation.content_type());
    answer.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if negotiation.gzip {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok((answer, exposition))
}

/// `/health` of the game: 200 as long as the process serves, and in the body which parts it has.
/// None of those that may be missing keeps players from playing, and whether a provider answers is
/// asked of nobody here: that is what the metrics show.
pub(super) fn game_health(
    game: Arc<Game>,
    llm: &LlmConfig,
    kernel_missing: Option<Reason>,
) -> Router {
    let llm = json!({"status": "ok", "provider": &*llm.provider(), "model": llm.model()});
    let parts = GameParts { game, llm, kernel: part(kernel_missing.map(Reason::as_str)) };
    Router::new().route("/health", get(game_parts)).with_state(parts)
}

/// What `/health` of the game tells of.
#[derive(Clone)]
struct GameParts {
    game: Arc<Game>,
    llm: Value,
    kernel: Value,
}

async fn game_parts(State(parts): State<GameParts>) -> impl IntoResponse {
    let GameParts { game, llm, kernel } = parts;
    // Nothing is asked of the database here, however many ask: strangers may.
    let mut store = part(match game.store().health().await {
        DatabaseHealth::Available => None,
        DatabaseHealth::Missing(why) => Some(why),
        DatabaseHealth::Unknown => Some("the database does not answer in time"),
    });
    let files_lost = game.store().files_lost();
    if files_lost > 0 {
        store["files_lost"] = files_lost.into();
    }
    let voice = (!game.has_voice()).then_some("no key for a speech provider");
    Json(json!({
        "status": "ok",
        "version": crate::VERSION,
        "commit": crate::COMMIT,
        "scenes": game.scenes().iter().count(),
        "llm": llm,
        "voice": part(voice),
        "store": store,
        "kernel": kernel,
    }))
}

/// `/readyz`: whether new players, or new scrapes, are to be sent here. Not any more once the server was
/// told to stop: a game says so while players finish, and whoever has none to wait for closes its listeners
/// at once, which says the same. A database that is away is no reason: the game goes on without it, and where several
/// servers share one, it would take all of them out of service at once.
pub(super) fn readiness(shutdown: CancellationToken) -> Router {
    let is_ready = move || {
        let answer = if shutdown.is_cancelled() {
            Err(ApiError::shutting_down())
        } else {
            Ok(Json(json!({"status": "ok"})))
        };
        async move { answer }
    };
    Router::new().route("/readyz", get(is_ready))
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
