//! Which calls are asked for: by the API, and of a file.

use std::sync::Arc;

use serde::de::value::StringDeserializer;
use serde::{Deserialize, Deserializer};

use super::{Call, CallHistory, Ended};
use crate::kernel::EndpointKind;

/// A query; every part may be left out. Live updates take the same, and have no use for the last two.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallQuery {
    /// Calls of this kind.
    pub kind: Option<EndpointKind>,
    /// To this provider.
    pub provider: Option<String>,
    /// Made by these.
    pub of: Option<Whose>,
    /// By processes of this name, other than this one.
    pub process: Option<String>,
    /// By processes of this pod, container or systemd unit.
    pub workload: Option<String>,
    /// Which ended so.
    pub outcome: Option<Ending>,
    /// Those that took at least so long, milliseconds.
    pub min_ms: Option<u64>,
    /// In which order; the latest ones, where nothing is said.
    pub order: Option<Order>,
    /// How many at most, of a list.
    pub limit: Option<u16>,
}

/// Which of the remembered calls, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The last one first.
    Latest,
    /// The slowest first.
    Slowest,
}

/// Who made a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// This server.
    Own,
    /// Another process.
    Others,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
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

impl CallQuery {
    /// Those of a history, in the order that is asked for, and no more than `limit`.
    #[must_use]
    pub fn choose(&self, history: &CallHistory, limit: usize) -> Vec<Arc<Call>> {
        let mut calls = match self.order {
            None | Some(Order::Latest) => history.latest(),
            Some(Order::Slowest) => history.slowest(),
        };
        calls.retain(|call| self.admits(call));
        calls.truncate(limit);
        calls
    }

    /// Whether this call is one of them.
    #[must_use]
    pub fn admits(&self, call: &Call) -> bool {
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
