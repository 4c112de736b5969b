//! The questions that have no answer while all is well: `empty.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Why a question has no answer.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Why there is nothing to say while all is well.
    pub why: String,
    /// Whether there is when providers fail as they do in the demo with faults.
    pub faults_fill_it: bool,
}

/// The reasons, by what asks.
pub fn read() -> BTreeMap<String, Reason> {
    let reasons: BTreeMap<String, Reason> =
        toml::from_str(include_str!("empty.toml")).expect("empty.toml is understood");
    assert!(reasons.values().all(|reason| reason.why.ends_with('.')), "a reason is a sentence");
    reasons
}
