//! How many calls are asked for: `?limit=20`. Which ones, a [`CallQuery`](crate::calls::CallQuery) tells:
//! `?kind=llm&provider=anthropic&of=others&process=python3&workload=bot.service` and
//! `&outcome=failed&min_ms=500&order=slowest`.

use crate::calls::MAX_LISTED;
use crate::http::ApiError;

const USUAL_LIMIT: u16 = 50;

/// How many of a list are asked for.
///
/// # Errors
/// None, or more than are ever shown.
pub(super) fn how_many(limit: Option<u16>) -> Result<usize, ApiError> {
    let limit = limit.unwrap_or(USUAL_LIMIT);
    let is_listed = (1..=MAX_LISTED).contains(&limit);
    is_listed.then_some(limit.into()).ok_or_else(ApiError::invalid_query)
}
