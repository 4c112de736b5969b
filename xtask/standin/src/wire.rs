//! What the wire protocols share: what an answer is made from, how requests are read, limits.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::audio::Audio;
use crate::http::Request;
use crate::plan::Plan;

/// The request limit per minute that the rate limit headers speak of.
pub(crate) const REQUESTS_PER_MINUTE: u64 = 4_000;
/// The token limit per minute that the rate limit headers speak of.
pub(crate) const TOKENS_PER_MINUTE: u64 = 400_000;

/// A failure that every protocol has words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    RateLimited,
    Overloaded,
    ServerError,
}

/// What an answer is made from, beside the request.
pub(crate) struct Exchange {
    /// Counted from 1.
    pub(crate) number: u64,
    pub(crate) plan: Arc<Plan>,
    pub(crate) random: StdRng,
    /// What the provider takes to answer, as drawn from the plan.
    pub(crate) processing: Duration,
    /// Requests being answered now, this one included.
    pub(crate) in_flight: usize,
    pub(crate) audio: Arc<Audio>,
}

impl Exchange {
    /// A random identifier in hexadecimal behind a prefix.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        let (high, low): (u64, u32) = (self.random.random(), self.random.random());
        format!("{prefix}{high:016x}{low:08x}")
    }

    /// What is left of a limit that every request takes one unit of.
    pub(crate) fn remaining(&self, limit: u64) -> u64 {
        limit - self.number % limit
    }
}

/// The body as a JSON object, or what is wrong with it.
pub(crate) fn json_body(request: &Request) -> Result<Value, String> {
    match serde_json::from_slice(&request.body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("the body must be a JSON object".to_owned()),
        // Only the place: the parser's message may quote the body.
        Err(error) => Err(format!("the body is not JSON (column {})", error.column())),
    }
}
