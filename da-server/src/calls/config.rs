//! `[calls]`: what is remembered of calls, and which are slow.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::Bounds;
use crate::provider::seconds;
use crate::recording::Recorder;

/// What is remembered of calls, and which are slow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallsConfig {
    /// Calls that take longer are logged. Key `slow_seconds`.
    #[serde(rename = "slow_seconds", with = "seconds")]
    pub slow: Duration,
    /// How long after a call's end the kernel's view of it is waited for. Key `grace_seconds`.
    #[serde(rename = "grace_seconds", with = "seconds")]
    pub grace: Duration,
    /// How many of the latest calls are remembered.
    pub latest: usize,
    /// How many of the slowest calls are remembered.
    pub slowest: usize,
    /// How long a call counts among the slowest. Key `slowest_for_seconds`.
    #[serde(rename = "slowest_for_seconds", with = "seconds")]
    pub slowest_for: Duration,
    /// Where the calls of the last while are kept, if anywhere: this file, and one of the same name with `.1`.
    pub file: Option<PathBuf>,
    /// How long both files may be together, MiB.
    pub file_megabytes: u64,
    /// Not in the file: where every finished call is written down.
    #[serde(skip)]
    pub recorder: Option<Recorder>,
}

impl Default for CallsConfig {
    fn default() -> Self {
        let Bounds { latest, slowest, slowest_for } = Bounds::default();
        let (slow, grace) = (Duration::from_secs(10), Duration::from_secs(2));
        let (file, file_megabytes) = (None, 64);
        Self { slow, grace, latest, slowest, slowest_for, file, file_megabytes, recorder: None }
    }
}

impl CallsConfig {
    /// How much is remembered.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds { latest: self.latest, slowest: self.slowest, slowest_for: self.slowest_for }
    }
}
