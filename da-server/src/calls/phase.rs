//! Where the time of an attempt went: phases that follow one another without gap or overlap.

use std::collections::HashMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A part of an attempt, in the order in which they come. Label value of
/// `call_phase_seconds{phase}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Asked for → begins to get a connection, or has one from the pool: permits and rate limits
    /// too.
    Queue,
    /// The host's name is being resolved.
    Dns,
    /// SYN sent → connection established.
    Connect,
    /// ClientHello sent → handshake done.
    Tls,
    /// Connection ready → last byte of the request in the kernel.
    Send,
    /// → first byte of the response at the socket: the network and the provider.
    Wait,
    /// → the application has read it.
    Pickup,
    /// → first content: a token of text, or audio.
    FirstToken,
    /// → last byte at the application.
    Stream,
    /// Neither side saw what happened.
    Unexplained,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 10] = [
        Self::Queue,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Send,
        Self::Wait,
        Self::Pickup,
        Self::FirstToken,
        Self::Stream,
        Self::Unexplained,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Pickup => "pickup",
            Self::FirstToken => "first_token",
            Self::Stream => "stream",
            Self::Unexplained => "unexplained",
        }
    }
}

/// How long each phase took, ns. Made by a [`PhaseSplitter`], so that they sum to the whole. As JSON an object
/// that names all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    ns: [u64; Phase::ALL.len()],
}

impl Phases {
    /// How long it took, ns; 0 where the attempt had no such phase.
    #[must_use]
    pub const fn ns(&self, phase: Phase) -> u64 {
        self.ns[phase as usize]
    }

    /// All of them together, ns: what the attempt took.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.ns.iter().sum()
    }

    /// Each phase with its ns, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, u64)> {
        Phase::ALL.into_iter().zip(self.ns)
    }

    /// Adds those of another attempt, phase by phase.
    pub fn add(&mut self, other: &Self) {
        for (sum, ns) in self.ns.iter_mut().zip(other.ns) {
            *sum += ns;
        }
    }
}

impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Phases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = HashMap::<Phase, u64>::deserialize(deserializer)?;
        let mut phases = Self::default();
        for phase in Phase::ALL {
            let ns = named.get(&phase).ok_or_else(|| D::Error::missing_field(phase.as_str()))?;
            phases.ns[phase as usize] = *ns;
        }
        Ok(phases)
    }
}

/// Splits a stretch of time into phases, from its beginning to its end.
///
/// Boundaries come from two clocks' readers that may lose the CPU between event and clock: one that
/// lies before the previous one, or outside the stretch, is moved to it. So no phase is negative, and
/// all of them sum to the stretch exactly.
#[derive(Debug)]
pub struct PhaseSplitter {
    phases: Phases,
    at_ns: u64,
    end_ns: u64,
}

impl PhaseSplitter {
    /// Nothing is split off yet. Times are ns of one clock; an end before the beginning is taken for it.
    #[must_use]
    pub fn new(from_ns: u64, to_ns: u64) -> Self {
        Self { phases: Phases::default(), at_ns: from_ns, end_ns: to_ns.max(from_ns) }
    }

    /// `phase` lasts until `to_ns`; without a time nothing is split off.
    pub fn until(&mut self, phase: Phase, to_ns: impl Into<Option<u64>>) -> &mut Self {
        let Some(to_ns) = to_ns.into() else { return self };
        let to_ns = to_ns.clamp(self.at_ns, self.end_ns);
        self.phases.ns[phase as usize] += to_ns - self.at_ns;
        self.at_ns = to_ns;
        self
    }

    /// The rest of the time is `phase`.
    #[must_use]
    pub fn rest(mut self, phase: Phase) -> Phases {
        self.until(phase, self.end_ns);
        self.phases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_in_order_and_speak_one_language() {
        for (index, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, index);
            let json = serde_json::to_value(phase).expect("JSON");
            assert_eq!(json, phase.as_str());
        }
        assert_eq!(Phase::Unexplained as usize + 1, Phase::ALL.len());
    }

    #[test]
    fn each_boundary_ends_one_phase_and_begins_the_next() {
        let mut splitter = PhaseSplitter::new(100, 200);
        splitter.until(Phase::Queue, 110).until(Phase::Dns, None).until(Phase::Wait, 150);
        let phases = splitter.rest(Phase::Stream);
        assert_eq!(phases.ns(Phase::Queue), 10);
        assert_eq!(phases.ns(Phase::Dns), 0);
        assert_eq!(phases.ns(Phase::Wait), 40);
        assert_eq!(phases.ns(Phase::Stream), 50);
        assert_eq!(phases.sum_ns(), 100);
    }

    #[test]
    fn whatever_the_boundaries_they_sum_to_the_whole() {
        // Every order of four instants, in and outside the stretch.
        let instants = [0, 90, 100, 130, 170, 200, 1_000];
        for a in instants {
            for b in instants {
                for c in instants {
                    let mut splitter = PhaseSplitter::new(100, 200);
                    splitter.until(Phase::Connect, a).until(Phase::Send, b).until(Phase::Wait, c);
                    let phases = splitter.rest(Phase::Unexplained);
                    assert_eq!(phases.sum_ns(), 100, "{a} {b} {c}");
                    assert!(phases.iter().all(|(_, ns)| ns <= 100), "{a} {b} {c}");
                }
            }
        }
        assert_eq!(PhaseSplitter::new(200, 100).rest(Phase::Wait).sum_ns(), 0);
    }

    #[test]
    fn json_names_every_phase_and_is_read_back() {
        let mut splitter = PhaseSplitter::new(0, 9);
        splitter.until(Phase::Tls, 4);
        let phases = splitter.rest(Phase::Wait);
        let json = serde_json::to_string(&phases).expect("JSON");
        assert!(json.starts_with(r#"{"queue":0,"dns":0,"connect":0,"tls":4,"#), "{json}");
        assert_eq!(serde_json::from_str::<Phases>(&json).expect("phases"), phases);
        assert!(serde_json::from_str::<Phases>(r#"{"queue":1}"#).is_err());
    }
}
