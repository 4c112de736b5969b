//! `/api/calls`: the calls that are remembered, as JSON, and `/calls`, the page that draws them.

mod live;
mod query;
mod under_way;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use super::access::{self, Access};
use super::{ApiError, page};
use crate::calls::{Call, CallHistory, CallQuery};
use query::how_many;

/// Followers of live updates at once; each one may be some hundred calls behind.
const MAX_FOLLOWERS: usize = 32;

/// What the routes need.
#[derive(Clone)]
struct Calls {
    history: Arc<CallHistory>,
    /// Held while a list is written.
    writing: Arc<Mutex<()>>,
    follower_permits: Arc<Semaphore>,
    /// Ends live updates, which would never end by themselves.
    shutdown: CancellationToken,
}

/// What `/api/calls` answers.
#[derive(Serialize)]
struct CallList {
    calls: Vec<Arc<Call>>,
    /// Of all remembered calls, in alphabetical order: what can be asked for.
    providers: Vec<String>,
    /// The same of the processes that are not this one.
    processes: Vec<String>,
    /// The same of their workloads.
    workloads: Vec<String>,
}

/// `/api/calls` and what is below it, for whoever may come in, and the page, which has nothing in it
/// before it asks.
pub(super) fn router(
    history: Arc<CallHistory>,
    access: Option<Access>,
    shutdown: CancellationToken,
) -> Router {
    let (writing, follower_permits) = (Arc::default(), Arc::new(Semaphore::new(MAX_FOLLOWERS)));
    let api = Router::new()
        .route("/api/calls", get(list))
        .route("/api/calls/live", get(live::follow))
        .route("/api/calls/under_way", get(under_way::list))
        .route("/api/calls/{id}", get(one))
        .with_state(Calls { history, writing, follower_permits, shutdown });
    access::protect(api, access).merge(page::calls())
}

/// Going through many calls takes CPU time, which the game must not wait for: it is done outside the
/// runtime's own threads, and for one who asks at a time.
async fn list(
    State(calls): State<Calls>,
    query: Result<Query<CallQuery>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Query(query) = query.map_err(|_| ApiError::invalid_query())?;
    let limit = how_many(query.limit)?;
    let writing = calls.writing.lock_owned().await;
    let written = tokio::task::spawn_blocking(move || {
        let json = serde_json::to_vec(&chosen(&calls.history, &query, limit));
        drop(writing);
        json
    });
    match written.await.map_err(anyhow::Error::from).and_then(|json| Ok(json?)) {
        Ok(json) => Ok(fresh(([(header::CONTENT_TYPE, "application/json")], json))),
        Err(error) => {
            tracing::error!("can't encode the calls as JSON: {error:#}");
            Err(ApiError::internal())
        }
    }
}

fn chosen(history: &CallHistory, query: &CallQuery, limit: usize) -> CallList {
    CallList {
        calls: query.choose(history, limit),
        providers: history.providers(),
        processes: history.processes(),
        workloads: history.workloads(),
    }
}

async fn one(
    State(calls): State<Calls>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let call = id.parse().ok().and_then(|id| calls.history.find(id));
    Ok(fresh(Json(call.ok_or_else(ApiError::call_not_found)?)))
}

/// An answer that is out of date as soon as it is given, and that nobody may keep.
fn fresh(answer: impl IntoResponse) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], answer)
}
