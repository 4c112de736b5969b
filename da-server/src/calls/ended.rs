//! How calls and their attempts end.

use serde::de::value::StrDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kernel::{ConnectionOutcome, ExchangeOutcome};
use crate::provider::Outcome;

/// How a call or an attempt ended. As JSON its label value in the family that counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As the application reported it: `llm_attempt_seconds{outcome}`.
    Reported(Outcome),
    /// As its socket shows, where no application told of it: `socket_exchanges_total{outcome}`. Of a status that a
    /// server may have answered with nothing shows.
    Exchange(ExchangeOutcome),
    /// The same, and its connection was never ready for it: `socket_connections_total{outcome}`.
    Connection(ConnectionOutcome),
}

impl Ended {
    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported(outcome) => outcome.as_str(),
            Self::Exchange(outcome) => outcome.as_str(),
            Self::Connection(outcome) => outcome.as_str(),
        }
    }

    /// Whether there was no answer, or not all of one, as far as is known.
    #[must_use]
    pub fn is_failure(self) -> bool {
        match self {
            Self::Reported(outcome) => outcome != Outcome::Success,
            Self::Exchange(outcome) => !matches!(
                outcome,
                ExchangeOutcome::Ok | ExchangeOutcome::Doubtful | ExchangeOutcome::Ambiguous
            ),
            Self::Connection(outcome) => outcome != ConnectionOutcome::Ok,
        }
    }
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Self::Reported(outcome)
    }
}

impl Serialize for Ended {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Where two families have one word for it, either will do.
impl<'de> Deserialize<'de> for Ended {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let label = String::deserialize(deserializer)?;
        let label = StrDeserializer::<D::Error>::new(&label);
        Outcome::deserialize(label)
            .map(Self::Reported)
            .or_else(|_| ExchangeOutcome::deserialize(label).map(Self::Exchange))
            .or_else(|_| ConnectionOutcome::deserialize(label).map(Self::Connection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ErrorKind;

    #[test]
    fn json_is_the_label_and_is_read_back_as_what_says_the_same() {
        let every = [
            Ended::Reported(Outcome::Success),
            Ended::Reported(Outcome::Failed(ErrorKind::RateLimited)),
            Ended::Exchange(ExchangeOutcome::Ok),
            Ended::Exchange(ExchangeOutcome::Doubtful),
            Ended::Exchange(ExchangeOutcome::NoResponse),
            Ended::Exchange(ExchangeOutcome::Reset),
            Ended::Exchange(ExchangeOutcome::Aborted),
            Ended::Connection(ConnectionOutcome::TlsFailed),
            Ended::Connection(ConnectionOutcome::Refused),
            Ended::Connection(ConnectionOutcome::TimedOut),
            Ended::Connection(ConnectionOutcome::Unreachable),
            Ended::Connection(ConnectionOutcome::NoLocalPort),
            Ended::Connection(ConnectionOutcome::Cancelled),
            Ended::Connection(ConnectionOutcome::Failed),
        ];
        for ended in every {
            let json = serde_json::to_value(ended).expect("JSON");
            assert_eq!(json, ended.as_str());
            let read: Ended = serde_json::from_value(json).expect("read back");
            assert_eq!((read.as_str(), read.is_failure()), (ended.as_str(), ended.is_failure()));
        }
        assert!(serde_json::from_str::<Ended>("\"nothing\"").is_err());
    }
}
