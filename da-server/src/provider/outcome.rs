//! What kinds of calls there are, and how calls and their attempts end: label values.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ErrorKind;

/// Which providers are called: label value `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// A language model.
    Llm,
    /// Speech.
    Tts,
}

impl CallKind {
    /// Every kind, for pre-creating series.
    pub const ALL: [Self; 2] = [Self::Llm, Self::Tts];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Llm => "llm",
            Self::Tts => "tts",
        }
    }
}

/// How an attempt ended. As JSON its label value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was complete.
    Success,
    /// It was not, and why.
    Failed(ErrorKind),
}

impl Outcome {
    /// Every outcome, for pre-creating series.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Success).chain(ErrorKind::ALL.into_iter().map(Self::Failed))
    }

    /// The label value: `success` or that of the error kind.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed(kind) => kind.as_str(),
        }
    }
}

/// How a call ended, as coarse as its latency is told: label value `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    /// The answer was complete.
    Success,
    /// There was none, or it broke off.
    Error,
    /// Nobody waited for it any more.
    Cancelled,
}

impl CallOutcome {
    pub(crate) const ALL: [Self; 3] = [Self::Success, Self::Error, Self::Cancelled];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<Outcome> for CallOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Failed(ErrorKind::Cancelled) => Self::Cancelled,
            Outcome::Failed(_) => Self::Error,
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let label = String::deserialize(deserializer)?;
        let unknown = || D::Error::invalid_value(Unexpected::Str(&label), &"an outcome");
        Self::all().find(|outcome| outcome.as_str() == label).ok_or_else(unknown)
    }
}
