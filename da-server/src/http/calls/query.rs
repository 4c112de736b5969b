//! Which calls are asked for: `?kind=llm&provider=anthropic&of=others&process=python3&workload=bot.service` and
//! `&outcome=failed&min_ms=500&order=slowest&limit=20`.

use serde::de::value::StringDeserializer;
use serde::{Deserialize, Deserializer};

use crate::calls::{Call, Ended, MAX_LISTED};
use crate::http::ApiError;
use crate::kernel::EndpointKind;

const USUAL_LIMIT: u16 = 50;

/// A query; every part may be left out. Live updates take the same, and have no use for the last two.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CallQuery {
    kind: Option<EndpointKind>,
    provider: Option<String>,
    of: Option<Whose>,
    process: Option<String>,
    /// A pod, a container or a systemd unit.
    workload: Option<String>,
    outcome: Option<Ending>,
    /// Those that took at least so long, milliseconds.
    min_ms: Option<u64>,
    order: Option<Order>,
    limit: Option<u16>,
}

/// Which of the remembered calls, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// The last one first.
    Latest,
    /// The slowest first.
    Slowest,
}

/// Who made a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Whose {
    /// This server.
    Own,
    /// Another process.
    Others,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// `failed`: in any way but a good one.
    Failed,
    /// Exactly so.
    As(Ended),
}

impl<'de> Deserialize<'de> for Ending {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)? {
            label if label == "failed" => Ok(Self::Failed),
            label => Ended::deserialize(StringDeserializer::new(label)).map(Self::As),
        }
    }
}

/// How many of a list are asked for.
///
/// # Errors
/// None, or more than are ever shown.
pub(super) fn how_many(limit: Option<u16>) -> Result<usize, ApiError> {
    let limit = limit.unwrap_or(USUAL_LIMIT);
    let is_listed = (1..=MAX_LISTED).contains(&limit);
    is_listed.then_some(limit.into()).ok_or_else(ApiError::invalid_query)
}

impl CallQuery {
    /// The latest ones, where nothing is said.
    pub(super) fn order(&self) -> Order {
        self.order.unwrap_or(Order::Latest)
    }

    /// How many at most.
    ///
    /// # Errors
    /// None, or more than are ever shown.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        how_many(self.limit)
    }

    /// Whether this call is one of them.
    pub(super) fn admits(&self, call: &Call) -> bool {
        let ended = match self.outcome {
            None => true,
            Some(Ending::Failed) => call.outcome.is_failure(),
            Some(Ending::As(outcome)) => call.outcome.as_str() == outcome.as_str(),
        };
        let process = call.process.as_ref();
        ended
            && self.of.is_none_or(|whose| (whose == Whose::Own) == process.is_none())
            && self.process.as_ref().is_none_or(|name| process.is_some_and(|it| it.name == *name))
            && self
                .workload
                .as_ref()
                .is_none_or(|name| process.is_some_and(|it| it.workload.as_ref() == Some(name)))
            && self.min_ms.is_none_or(|ms| call.duration_ns / 1_000_000 >= ms)
            && self.kind.is_none_or(|kind| call.kind == kind)
            && self.provider.as_ref().is_none_or(|provider| call.provider == *provider)
    }
}
