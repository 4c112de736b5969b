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
use super::query::CallQuery;
use crate::calls::Update;
use crate::http::ApiError;

/// How often a follower hears something where there is no call: proxies give up on silence.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

pub(super) async fn follow(
    State(calls): State<Calls>,
    query: Result<Query<CallQuery>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Query(query) = query.map_err(|_| ApiError::invalid_query())?;
    let seat = calls.seats.clone().try_acquire_owned();
    let seat = seat.map_err(|_| ApiError::too_many_followers())?;
    let end = calls.shutdown.clone().cancelled_owned();
    let events = events(&calls, query, seat).take_until(end).map(Ok::<_, Infallible>);
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE));
    // nginx would gather events until it has a buffer full.
    Ok(([("x-accel-buffering", "no")], stream))
}

/// From now on; the seat is given back at the end.
fn events(
    calls: &Calls,
    query: CallQuery,
    seat: OwnedSemaphorePermit,
) -> impl Stream<Item = Event> + use<> {
    let following = (calls.history.subscribe(), query, seat);
    stream::unfold(following, |(mut updates, query, seat)| async move {
        let event = loop {
            match updates.recv().await {
                Ok(update) if query.admits(&update.call) => break of_call(&update),
                Ok(_) => {}
                Err(RecvError::Lagged(calls)) => break missed(calls),
                Err(RecvError::Closed) => return None,
            }
        };
        Some((event, (updates, query, seat)))
    })
}

fn of_call(update: &Update) -> Event {
    let event = |json| Event::default().event("call").data(json);
    update.json().map_or_else(|| missed(1), event)
}

fn missed(calls: u64) -> Event {
    Event::default().event("missed").data(json!({"calls": calls}).to_string())
}
