//! `/api/calls`: the calls that are remembered, as JSON, and `/calls`, the page that draws them.

mod live;
mod query;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{ApiError, BearerToken, bearer, page};
use crate::calls::{Call, Recent};
use query::{CallQuery, Order};

/// Followers of live updates at once; each one may be some hundred calls behind.
const MAX_FOLLOWERS: usize = 32;

/// What the routes need.
#[derive(Clone)]
struct Calls {
    recent: Arc<Recent>,
    seats: Arc<Semaphore>,
    /// Ends live updates, which would never end by themselves.
    shutdown: CancellationToken,
}

/// What `/api/calls` answers.
#[derive(Serialize)]
struct CallList {
    calls: Vec<Arc<Call>>,
    /// Of all remembered calls, in alphabetical order: what can be asked for.
    providers: Vec<String>,
}

/// `/api/calls` and what is below it, for whoever has the token, and the page, which has nothing in
/// it before it is given the token.
pub(super) fn router(
    recent: Arc<Recent>,
    token: Option<BearerToken>,
    shutdown: CancellationToken,
) -> Router {
    let seats = Arc::new(Semaphore::new(MAX_FOLLOWERS));
    let api = Router::new()
        .route("/api/calls", get(list))
        .route("/api/calls/live", get(live::follow))
        .route("/api/calls/{id}", get(one))
        .with_state(Calls { recent, seats, shutdown });
    bearer::protect(api, token).merge(page::calls())
}

async fn list(
    State(calls): State<Calls>,
    query: Result<Query<CallQuery>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Query(query) = query.map_err(|_| ApiError::invalid_query())?;
    let limit = query.limit()?;
    let mut found = match query.order() {
        Order::Latest => calls.recent.latest(),
        Order::Slowest => calls.recent.slowest(),
    };
    found.retain(|call| query.admits(call));
    found.truncate(limit);
    let providers = calls.recent.providers();
    Ok(fresh(Json(CallList { calls: found, providers })))
}

async fn one(
    State(calls): State<Calls>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let call = id.parse().ok().and_then(|id| calls.recent.find(id));
    Ok(fresh(Json(call.ok_or_else(ApiError::call_not_found)?)))
}

/// An answer that is out of date as soon as it is given, and that nobody may keep.
fn fresh(answer: impl IntoResponse) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], answer)
}
