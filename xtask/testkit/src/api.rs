//! Asks an HTTP API that answers in Prometheus' envelope, `{"status":"success","data":…}`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The labels of a series; its name is the label `__name__`.
pub type Labels = BTreeMap<String, String>;

/// One series of an answer.
#[derive(Debug, Clone, Deserialize, PartialEq)]
pub struct Series {
    /// What tells it from the others.
    #[serde(default)]
    pub metric: Labels,
    /// Its samples, the oldest first; a single one of an instant query.
    #[serde(alias = "value", deserialize_with = "samples")]
    pub values: Vec<Sample>,
}

/// A value and when it held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Seconds since the epoch.
    pub at_seconds: f64,
    /// What it was; may be NaN or infinite.
    pub value: f64,
}

/// A server of that kind.
pub struct Api {
    address: SocketAddr,
    agent: ureq::Agent,
}

impl Api {
    /// The one that listens on `address`.
    pub fn new(address: SocketAddr) -> Self {
        // Why a query was refused is in the body of an answer with a status of 400 or more.
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build();
        Self { address, agent: config.new_agent() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The answer to `GET path?parameters`.
    ///
    /// # Errors
    /// If nobody answers; what the server says, if it can't answer; or if that is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, path: &str, parameters: &[(&str, &str)]) -> Result<T> {
        let asked = || format!("GET {path} {parameters:?}");
        let request = self.agent.get(format!("http://{}{path}", self.address));
        let mut response =
            request.query_pairs(parameters.iter().copied()).call().with_context(asked)?;
        let text = response.body_mut().read_to_string().with_context(asked)?;
        let answer: Value =
            serde_json::from_str(&text).with_context(|| format!("{}: {text}", asked()))?;
        if answer["status"] != "success" {
            bail!("{}: {}", asked(), answer["error"].as_str().unwrap_or("no reason was given"));
        }
        T::deserialize(&answer["data"]).with_context(asked)
    }
}

/// One `[seconds, "value"]`, or several.
fn samples<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Sample>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Values {
        One((f64, String)),
        Many(Vec<(f64, String)>),
    }
    let values = match Values::deserialize(deserializer)? {
        Values::One(value) => vec![value],
        Values::Many(values) => values,
    };
    let sample = |(at_seconds, text): (f64, String)| {
        let value = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Sample { at_seconds, value })
    };
    values.into_iter().map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_and_many_are_read_alike() {
        let one: Series =
            serde_json::from_str(r#"{"metric":{"job":"a"},"value":[1.5,"+Inf"]}"#).unwrap();
        assert_eq!(one.metric["job"], "a");
        assert_eq!(one.values, [Sample { at_seconds: 1.5, value: f64::INFINITY }]);
        let many: Series =
            serde_json::from_str(r#"{"metric":{},"values":[[1,"2"],[2,"NaN"]]}"#).unwrap();
        assert_eq!(many.values[0].value, 2.0);
        assert!(many.values[1].value.is_nan());
    }
}
