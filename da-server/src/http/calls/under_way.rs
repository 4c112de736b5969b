//! `/api/calls/under_way`: requests that have not ended, as the kernel view saw them a moment ago.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;

use super::{Calls, fresh};
use crate::clock::monotonic_ns;
use crate::kernel::Snapshot;

/// The answer.
#[derive(Serialize)]
struct UnderWay<'a> {
    #[serde(flatten)]
    snapshot: &'a Snapshot,
    /// How long ago that was; none where there is no kernel view, or it has not looked yet.
    looked_ns_ago: Option<u64>,
}

pub(super) async fn list(State(calls): State<Calls>) -> impl IntoResponse {
    let snapshot = calls.history.under_way();
    let looked = snapshot.at_ns != 0;
    let looked_ns_ago = looked.then(|| monotonic_ns().saturating_sub(snapshot.at_ns));
    fresh(Json(UnderWay { snapshot: &snapshot, looked_ns_ago }).into_response())
}
