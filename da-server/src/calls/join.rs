//! How what the application noted of an attempt was brought together with what the kernel saw.

use serde::{Deserialize, Serialize};

/// What became of joining an attempt: label value of `call_join_total{result}`. Only where it is
/// [`Self::Joined`] do an attempt's phases come from both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// The kernel's view of exactly this attempt is in its phases.
    Joined,
    /// The attempt never came to a socket: it waited for a permit, or its name did not resolve.
    /// There is nothing that the kernel could have seen.
    NoSocket,
    /// It shared its connection with others at the same time (HTTP/2): the kernel can't tell them
    /// apart.
    Shared,
    /// More than one attempt fits what the kernel saw; none was chosen.
    Ambiguous,
    /// The kernel saw the connection, but can't say where in it the response began.
    Doubtful,
    /// There is a kernel view, but what it saw of this attempt did not come in time: lost, or late.
    Missing,
    /// There is no kernel view.
    Unavailable,
    /// It is another process's, which tells nothing of it: all of it is what the kernel saw.
    Observed,
}

impl Join {
    /// Every result that an attempt of this process can have, for pre-creating series.
    pub const OF_REPORTED: [Self; 7] = [
        Self::Joined,
        Self::NoSocket,
        Self::Shared,
        Self::Ambiguous,
        Self::Doubtful,
        Self::Missing,
        Self::Unavailable,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::NoSocket => "no_socket",
            Self::Shared => "shared",
            Self::Ambiguous => "ambiguous",
            Self::Doubtful => "doubtful",
            Self::Missing => "missing",
            Self::Unavailable => "unavailable",
            Self::Observed => "observed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_and_json_are_one_word_and_all_are_listed() {
        for (index, join) in Join::OF_REPORTED.into_iter().chain([Join::Observed]).enumerate() {
            assert_eq!(join as usize, index);
            assert_eq!(serde_json::to_value(join).expect("JSON"), join.as_str());
        }
        assert_eq!(Join::Observed as usize, Join::OF_REPORTED.len());
    }
}
