//! What a stand-in does to a request: delays, the shape of the answer, a fault.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::delay::Delay;
use crate::fault::Fault;

/// How requests are answered. In JSON every field may be left out.
///
/// The two delays of a connection are drawn before its first request is known: `accept_ms` comes
/// from the default plan, `handshake_ms` from the plan of the name in the ClientHello.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// From accept() to the first read. The kernel has completed the TCP handshake before
    /// accept() returns, so a client sees this as a slow ClientHello, not as a slow connect:
    /// for that, fill a small [`backlog`](crate::Options::backlog).
    pub accept_ms: Delay,
    /// From the last byte of the ClientHello read to the making of the ServerHello, whose
    /// cryptography comes on top: the log has both ends.
    pub handshake_ms: Delay,
    /// From the last byte of the request read to the first byte of the response written.
    pub first_byte_ms: Delay,
    /// From the write of one chunk to the write of the next.
    pub between_chunks_ms: Delay,
    /// Number of text deltas or audio chunks. Default: one per word, or per 200 ms of audio. A
    /// language model stops earlier when the request's `max_tokens` are fewer.
    pub chunks: Option<usize>,
    /// What a language model answers, instead of one of the built-in lines.
    pub text: Option<String>,
    /// Length in characters that a language model's answer is brought to.
    pub text_characters: Option<usize>,
    /// Prompt tokens that a language model says it took from its cache, beside those it counts.
    pub cache_read_tokens: u64,
    /// Prompt tokens that it says it wrote to its cache, where the protocol has words for that.
    pub cache_write_tokens: u64,
    /// Tokens that it says it spent on hidden reasoning, beside those of the answer.
    pub reasoning_tokens: u64,
    /// Headers of every response, in place of its own of the same name.
    pub headers: BTreeMap<String, String>,
    /// Silence before the speech of a text to speech, in milliseconds; PCM only.
    pub leading_silence_ms: u32,
    /// End the connection after each response.
    pub close: bool,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// How probably it does, 0 to 1.
    pub fault_probability: f64,
    /// Only the first so many requests under this plan may fail (connections, for
    /// [`Fault::BadHandshake`]). Default: all.
    pub fault_count: Option<u64>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            accept_ms: Delay::default(),
            handshake_ms: Delay::default(),
            first_byte_ms: Delay::default(),
            between_chunks_ms: Delay::default(),
            chunks: None,
            text: None,
            text_characters: None,
            cache_read_tokens: 0,
            cache_write_tokens: 0,
            reasoning_tokens: 0,
            headers: BTreeMap::new(),
            leading_silence_ms: 0,
            close: false,
            fault: None,
            fault_probability: 1.0,
            fault_count: None,
        }
    }
}

impl Plan {
    /// The largest answer that can be asked for, in characters or chunks.
    pub const MAX_LENGTH: usize = 100_000;

    /// The longest silence that can be asked for: a minute.
    pub const MAX_SILENCE_MS: u32 = 60_000;

    /// Reads a plan from JSON and checks it.
    pub fn from_json(json: &str) -> Result<Plan> {
        let plan: Plan = serde_json::from_str(json).context("not a plan")?;
        plan.check()?;
        Ok(plan)
    }

    /// This plan with the fields of a JSON object in place of its own.
    pub fn overridden_by(&self, json: &str) -> Result<Plan> {
        let overrides: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(json).context("not a JSON object")?;
        let mut fields = serde_json::to_value(self)?;
        for (name, value) in overrides {
            fields[name] = value;
        }
        let plan: Plan = serde_json::from_value(fields).context("not a plan")?;
        plan.check()?;
        Ok(plan)
    }

    /// Says which field holds something that can't be done.
    pub fn check(&self) -> Result<()> {
        for (name, delay) in [
            ("accept_ms", &self.accept_ms),
            ("handshake_ms", &self.handshake_ms),
            ("first_byte_ms", &self.first_byte_ms),
            ("between_chunks_ms", &self.between_chunks_ms),
        ] {
            delay.check().map_err(|why| anyhow!("{name}: {why}"))?;
        }
        if !(0.0..=1.0).contains(&self.fault_probability) {
            return Err(anyhow!("fault_probability: must be between 0 and 1"));
        }
        for (name, length) in [("chunks", self.chunks), ("text_characters", self.text_characters)] {
            if length.is_some_and(|length| !(1..=Plan::MAX_LENGTH).contains(&length)) {
                return Err(anyhow!("{name}: must be between 1 and {}", Plan::MAX_LENGTH));
            }
        }
        for (name, value) in &self.headers {
            if !is_free_header(name) || value.bytes().any(|byte| byte.is_ascii_control()) {
                return Err(anyhow!("headers: {name:?} can't be set to {value:?}"));
            }
        }
        if self.leading_silence_ms > Plan::MAX_SILENCE_MS {
            return Err(anyhow!("leading_silence_ms: must be at most {}", Plan::MAX_SILENCE_MS));
        }
        if self.text.as_deref() == Some("") {
            return Err(anyhow!("text: must not be empty"));
        }
        Ok(())
    }
}

/// Whether a plan may set this header: not those that say where a response ends and what it is.
fn is_free_header(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !name.is_empty()
        && name.bytes().all(plain)
        && !["connection", "content-length", "content-type", "transfer-encoding"]
            .iter()
            .any(|kept| name.eq_ignore_ascii_case(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_replace_only_what_they_name() {
        let plan = Plan { first_byte_ms: Delay::Fixed(10.0), chunks: Some(3), ..Plan::default() };
        let changed =
            plan.overridden_by(r#"{"first_byte_ms":20,"fault":{"kind":"hang"}}"#).unwrap();
        assert_eq!(changed.first_byte_ms, Delay::Fixed(20.0));
        assert_eq!(changed.chunks, Some(3));
        assert_eq!(changed.fault, Some(Fault::Hang));
        assert_eq!(plan.overridden_by(r#"{"chunks":null}"#).unwrap().chunks, None);
    }

    #[test]
    fn mistakes_are_named() {
        for (json, word) in [
            (r#"{"first_bite_ms":1}"#, "first_bite_ms"),
            (r#"{"fault_probability":2}"#, "fault_probability"),
            (r#"{"between_chunks_ms":-1}"#, "between_chunks_ms"),
            (r#"{"chunks":0}"#, "chunks"),
            (r#"{"fault":{"kind":"meteor"}}"#, "meteor"),
            (r#"{"text":""}"#, "text"),
            (r#"{"headers":{"Content-Length":"3"}}"#, "headers"),
            (r#"{"headers":{"a b":"3"}}"#, "headers"),
            (r#"{"headers":{"a":"3\r\nb: 4"}}"#, "headers"),
            (r#"{"leading_silence_ms":60001}"#, "leading_silence_ms"),
        ] {
            for error in [
                Plan::from_json(json).unwrap_err(),
                Plan::default().overridden_by(json).unwrap_err(),
            ] {
                assert!(format!("{error:#}").contains(word), "{json}: {error:#}");
            }
        }
        assert!(Plan::default().overridden_by("[]").is_err());
    }

    #[test]
    fn a_plan_survives_json() {
        let plan = Plan {
            handshake_ms: Delay::Uniform(1.0, 2.0),
            fault: Some(Fault::RateLimited { retry_after: Some(2), retry_after_ms: None }),
            fault_count: Some(1),
            ..Plan::default()
        };
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(Plan::from_json(&json).unwrap(), plan);
    }
}
