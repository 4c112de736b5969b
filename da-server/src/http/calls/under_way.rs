//! `/api/calls/under_way`: requests that have not ended, as the kernel view saw them a moment ago.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::query::how_many;
use super::{Calls, fresh};
use crate::clock::monotonic_ns;
use crate::http::ApiError;
use crate::kernel::{EndpointKind, UnderWay};

/// Which of them: `?kind=llm&provider=anthropic&process=python3&workload=bot.service&limit=20`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct UnderWayQuery {
    kind: Option<EndpointKind>,
    provider: Option<String>,
    process: Option<String>,
    workload: Option<String>,
    limit: Option<u16>,
}

/// The answer.
#[derive(Serialize)]
struct Listed<'a> {
    requests: Vec<&'a UnderWay>,
    /// How many there are of those that were asked for.
    matched: usize,
    /// How many there are in all.
    total: usize,
    /// How long ago that was; none where there is no kernel view, or it has not looked yet.
    looked_ns_ago: Option<u64>,
}

pub(super) async fn list(
    State(calls): State<Calls>,
    query: Result<Query<UnderWayQuery>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Query(query) = query.map_err(|_| ApiError::invalid_query())?;
    let limit = how_many(query.limit)?;
    let snapshot = calls.history.under_way();
    let mut requests: Vec<_> =
        snapshot.requests.iter().filter(|request| query.admits(request)).collect();
    let matched = requests.len();
    requests.truncate(limit);
    let looked = snapshot.at_ns != 0;
    let looked_ns_ago = looked.then(|| monotonic_ns().saturating_sub(snapshot.at_ns));
    let listed = Listed { requests, matched, total: snapshot.total, looked_ns_ago };
    Ok(fresh(Json(listed).into_response()))
}

impl UnderWayQuery {
    fn admits(&self, request: &UnderWay) -> bool {
        let is = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|it| it == name);
        self.kind.is_none_or(|kind| kind == request.kind)
            && is(&self.provider, &request.provider)
            && is(&self.process, &request.process)
            && self.workload.as_ref().is_none_or(|name| request.workload.as_ref() == Some(name))
    }
}
