//! One logical call to a provider.

use serde::{Deserialize, Serialize};

use super::{Attempt, Ended, Phases};
use crate::kernel::EndpointKind;

pub use crate::provider::CallKind;

impl From<CallKind> for EndpointKind {
    fn from(kind: CallKind) -> Self {
        match kind {
            CallKind::Llm => Self::Llm,
            CallKind::Tts => Self::Tts,
        }
    }
}

/// A call with its attempts, which do not overlap; between them the client backs off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its number in this process, from 1.
    pub id: u64,
    /// What kind of service was called.
    pub kind: EndpointKind,
    /// Label value of the provider.
    pub provider: String,
    /// The configured model; none where only the kernel saw the call.
    pub model: Option<String>,
    /// Which process made it; none if it was this one.
    pub process: Option<Process>,
    /// When it began, milliseconds of the Unix epoch.
    pub began_unix_ms: u64,
    /// From its making to its end, ns.
    pub duration_ns: u64,
    /// How it ended: as its last attempt, or `cancelled` between two.
    pub outcome: Ended,
    /// In order; none if it ended before its first.
    pub attempts: Vec<Attempt>,
}

/// Who made a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// What it calls itself (`task_struct.comm` of its main thread), at most 15 bytes.
    pub name: String,
    /// Its number, as the initial PID namespace has it.
    pub pid: u32,
    /// The workload it belongs to, if that is known: `namespace/pod`, a container or a systemd unit.
    pub workload: Option<String>,
}

impl Call {
    /// The phases of all attempts together.
    #[must_use]
    pub fn phases(&self) -> Phases {
        let mut sum = Phases::default();
        self.attempts.iter().for_each(|attempt| sum.add(&attempt.phases));
        sum
    }

    /// What is not in an attempt, ns: the pauses between them.
    #[must_use]
    pub fn back_off_ns(&self) -> u64 {
        self.duration_ns.saturating_sub(self.phases().sum_ns())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::calls::{Join, Phase, PhaseSplitter, Reuse};
    use crate::provider::{ErrorKind, Outcome};

    /// A call of one attempt that took so long.
    pub fn call(id: u64, duration_ns: u64) -> Call {
        Call {
            id,
            kind: EndpointKind::Llm,
            provider: "anthropic".to_owned(),
            model: Some("m".to_owned()),
            process: None,
            began_unix_ms: 0,
            duration_ns,
            outcome: Outcome::Success.into(),
            attempts: vec![attempt(0, duration_ns)],
        }
    }

    fn attempt(after_ns: u64, duration_ns: u64) -> Attempt {
        Attempt {
            after_ns,
            phases: PhaseSplitter::new(0, duration_ns).rest(Phase::Wait),
            outcome: Outcome::Success.into(),
            join: Join::Missing,
            reuse: Reuse::Unknown,
            status: Some(200),
            http: Some("HTTP/1.1".to_owned()),
            request_id: None,
            error: None,
            first_content_ns: None,
            reads: Vec::new(),
            reads_total: 0,
            body_bytes: 0,
            socket: None,
        }
    }

    #[test]
    fn attempts_and_pauses_are_the_whole_call() {
        let mut call = call(1, 100);
        call.attempts = vec![attempt(0, 30), attempt(60, 40)];
        assert_eq!(call.phases().ns(Phase::Wait), 70);
        assert_eq!(call.back_off_ns(), 30);
    }

    #[test]
    fn json_says_everything_and_is_read_back() {
        let mut call = call(7, 100);
        call.outcome = Outcome::Failed(ErrorKind::RateLimited).into();
        let json = serde_json::to_value(&call).expect("JSON");
        assert_eq!(json["kind"], "llm");
        assert_eq!(json["outcome"], "rate_limited");
        assert_eq!(json["attempts"][0]["phases"]["wait"], 100);
        assert_eq!(serde_json::from_value::<Call>(json).expect("a call"), call);
    }
}
