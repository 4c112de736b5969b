//! `/api/calls/live`: every call as it ends, as server-sent events.
//!
//! `call` carries a call, as `/api/calls/{id}` does; `missed` how many calls this follower was too
//! slow for. Nobody waits for a follower: not the calls, and not the other followers.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::RecvError;

use super::Calls;
use crate::calls::{CallQuery, Update};
use crate::http::ApiError;

/// How often a follower gets a comment when there is no call: proxies close silent connections.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

pub(super) async fn follow(
    State(calls): State<Calls>,
    query: Result<Query<CallQuery>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Query(query) = query.map_err(|_| ApiError::invalid_query())?;
    let permit = calls.follower_permits.clone().try_acquire_owned();
    let permit = permit.map_err(|_| ApiError::too_many_followers())?;
    let end = calls.shutdown.clone().cancelled_owned();
    let events = events(&calls, query, permit).take_until(end).map(Ok::<_, Infallible>);
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL));
    // nginx would gather events until it has a buffer full.
    Ok(([("x-accel-buffering", "no")], stream))
}

/// The events from now on; the permit is released at the end.
fn events(
    calls: &Calls,
    query: CallQuery,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Event> + use<> {
    let following = (calls.history.subscribe(), query, permit);
    stream::unfold(following, |(mut updates, query, permit)| async move {
        let event = loop {
            match updates.recv().await {
                Ok(update) if query.admits(&update.call) => break of_call(&update),
                Ok(_) => {}
                Err(RecvError::Lagged(calls)) => break missed(calls),
                Err(RecvError::Closed) => return None,
            }
        };
        Some((event, (updates, query, permit)))
    })
}

fn of_call(update: &Update) -> Event {
    let event = |json| Event::default().event("call").data(json);
    update.json().map_or_else(|| missed(1), event)
}

fn missed(calls: u64) -> Event {
    Event::default().event("missed").data(json!({"calls": calls}).to_string())
}
