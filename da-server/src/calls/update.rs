//! A call on its way to all who follow.

use std::sync::{Arc, OnceLock};

use super::Call;

/// A call that has just ended, for all who follow.
#[derive(Debug)]
pub struct Update {
    /// The call.
    pub call: Arc<Call>,
    json: OnceLock<Option<String>>,
}

impl Update {
    /// None of it is written yet.
    pub(super) fn new(call: Arc<Call>) -> Self {
        Self { call, json: OnceLock::new() }
    }

    /// The call as JSON: the first who asks writes it, for all others too. None if it can't be written,
    /// which the log says.
    pub fn json(&self) -> Option<&str> {
        let write = || match serde_json::to_string(&*self.call) {
            Ok(json) => Some(json),
            Err(error) => {
                tracing::error!(call_id = self.call.id, %error, "can't encode a call as JSON");
                None
            }
        };
        self.json.get_or_init(write).as_deref()
    }
}
