//! What this host lets the kernel view measure: found out by loading and attaching the programs as a
//! server does, and letting go of them again.

use da_ebpf_common::program::{Hook, Program};
use serde::Serialize;

use super::Kernel;
use super::config::KernelConfig;
use super::host::{self, Fact};
use super::status::{ProgramState, Unavailable};

/// Families about sockets, and the optional programs behind each of them. A family has parts, such as
/// resets sent and received; a part is there if all its programs are.
const FAMILIES: &[(&str, &[&[Program]])] = &[
    ("socket_connect_seconds", &[&[]]),
    ("socket_tls_handshake_seconds", &[&[]]),
    ("socket_first_byte_seconds", &[&[]]),
    ("socket_response_seconds", &[&[]]),
    ("socket_chunk_gap_seconds", &[&[]]),
    ("socket_pickup_seconds", &[&[Program::SockRecv]]),
    ("socket_rtt_seconds", &[&[]]),
    ("socket_retransmits_total", &[&[]]),
    ("socket_resets_total", &[&[Program::ResetReceived], &[Program::ResetSent]]),
    ("socket_open_connections", &[&[]]),
    ("socket_lifetime_seconds", &[&[]]),
    ("socket_exchanges_per_connection", &[&[]]),
    ("socket_connections_total", &[&[]]),
    ("socket_exchanges_total", &[&[]]),
    ("socket_sent_bytes_total", &[&[]]),
    ("socket_received_bytes_total", &[&[]]),
];

/// What was found.
#[derive(Debug, Serialize)]
pub struct Preflight {
    /// All in all.
    pub verdict: Verdict,
    /// Why there is no kernel view, if so.
    pub why_not: Option<String>,
    /// About the host.
    pub host: Vec<Fact>,
    /// The programs, in the order in which they attach.
    pub programs: Vec<ProgramFinding>,
    /// The families about sockets.
    pub families: Vec<FamilyFinding>,
}

/// All in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every family is exact.
    Exact,
    /// There is a kernel view, but not all of it.
    Degraded,
    /// There is none.
    NoKernelView,
}

impl Verdict {
    fn of(is_there: bool, states: &[(Program, ProgramState)], families: &[FamilyFinding]) -> Self {
        let lacking = |state| matches!(state, ProgramState::Missing | ProgramState::Refused);
        let degraded = states.iter().any(|(_, state)| lacking(*state))
            || families.iter().any(|found| found.extent != Extent::Exact);
        match (is_there, degraded) {
            (false, _) => Self::NoKernelView,
            (true, false) => Self::Exact,
            (true, true) => Self::Degraded,
        }
    }
}

/// A program, and what became of it.
#[derive(Debug, Serialize)]
pub struct ProgramFinding {
    /// Its name: label value of `ebpf_program_state{program}`.
    pub program: &'static str,
    /// What it attaches to.
    pub hook: String,
    /// The Linux release that brought that.
    pub since: &'static str,
    /// Whether there is no kernel view without it.
    pub required: bool,
    /// Label value of `ebpf_program_state{state}`; `absent` if it was not tried.
    pub state: &'static str,
}

/// A family, and how much of it there is.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct FamilyFinding {
    /// Its name, without the prefix.
    pub family: &'static str,
    /// How much.
    pub extent: Extent,
    /// Programs that are not there and keep it from being exact.
    pub without: Vec<&'static str>,
}

/// How much of a family there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All of it.
    Exact,
    /// A part.
    Degraded,
    /// Nothing.
    Absent,
}

impl Preflight {
    /// Loads, looks, lets go.
    pub fn run(config: &KernelConfig) -> Self {
        let kernel = Kernel::load(config);
        let why_not = kernel.unavailable();
        let states = kernel.program_states();
        let programs: Vec<_> = Program::ALL.map(|program| finding(program, states)).into();
        let families: Vec<_> = FAMILIES
            .iter()
            .map(|(family, parts)| match why_not {
                None => found(family, parts, states),
                Some(_) => FamilyFinding { family, extent: Extent::Absent, without: Vec::new() },
            })
            .collect();
        let verdict = Verdict::of(why_not.is_none(), states, &families);
        let why_not = why_not.map(Unavailable::to_string);
        Self { verdict, why_not, host: host::facts(), programs, families }
    }
}

fn state_of(program: Program, states: &[(Program, ProgramState)]) -> ProgramState {
    let found = states.iter().find(|(of, _)| *of == program);
    found.map_or(ProgramState::Absent, |(_, state)| *state)
}

fn finding(program: Program, states: &[(Program, ProgramState)]) -> ProgramFinding {
    ProgramFinding {
        program: program.as_str(),
        hook: match program.hook() {
            Hook::RawTracepoint(name) => format!("raw tracepoint {name}"),
            Hook::Iterator(name) => format!("iterator {name}"),
        },
        since: program.since(),
        required: program.is_required(),
        state: state_of(program, states).as_str(),
    }
}

fn found(
    family: &'static str,
    parts: &[&[Program]],
    states: &[(Program, ProgramState)],
) -> FamilyFinding {
    let is_there = |program: &&Program| state_of(**program, states) == ProgramState::Attached;
    let there = parts.iter().filter(|part| part.iter().all(|program| is_there(&program))).count();
    let without = parts.iter().copied().flatten().filter(|program| !is_there(program));
    let extent = match there {
        all if all == parts.len() => Extent::Exact,
        0 => Extent::Absent,
        _ => Extent::Degraded,
    };
    FamilyFinding { family, extent, without: without.map(|program| program.as_str()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_family_about_sockets_is_among_them() {
        let documented = include_str!("../../../docs/METRICS.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|name| name.starts_with("socket_") || name.starts_with("syscall_"))
            .map(str::to_owned);
        let known = FAMILIES.iter().map(|(family, _)| (*family).to_owned());
        let [mut documented, mut known]: [Vec<_>; 2] = [documented.collect(), known.collect()];
        documented.sort();
        known.sort();
        assert_eq!(known, documented);
    }

    #[test]
    fn one_program_or_family_less_is_less_of_a_view() {
        let family = |extent| FamilyFinding { family: "f", extent, without: Vec::new() };
        let families = [Extent::Exact, Extent::Degraded, Extent::Absent].map(family);
        let verdict = |state, of: std::ops::Range<usize>| {
            Verdict::of(true, &[(Program::Existing, state)], &families[of])
        };
        assert_eq!(verdict(ProgramState::Attached, 0..1), Verdict::Exact);
        assert_eq!(verdict(ProgramState::Missing, 0..1), Verdict::Degraded);
        assert_eq!(verdict(ProgramState::Refused, 0..1), Verdict::Degraded);
        assert_eq!(verdict(ProgramState::Attached, 0..2), Verdict::Degraded);
        assert_eq!(verdict(ProgramState::Attached, 2..3), Verdict::Degraded);
        assert_eq!(Verdict::of(false, &[], &families[..1]), Verdict::NoKernelView);
    }

    #[test]
    fn a_family_is_as_much_there_as_its_programs() {
        let parts: &[&[Program]] = &[&[Program::ResetReceived], &[Program::ResetSent]];
        let (received, sent) = (Program::ResetReceived, Program::ResetSent);
        let (attached, missing) = (ProgramState::Attached, ProgramState::Missing);
        for (states, extent, without) in [
            ([(received, attached), (sent, attached)], Extent::Exact, vec![]),
            ([(received, attached), (sent, missing)], Extent::Degraded, vec!["reset_sent"]),
            (
                [(received, missing), (sent, ProgramState::Refused)],
                Extent::Absent,
                vec!["reset_received", "reset_sent"],
            ),
        ] {
            let expected = FamilyFinding { family: "f", extent, without };
            assert_eq!(found("f", parts, &states), expected);
        }
        assert_eq!(found("f", &[&[]], &[]).extent, Extent::Exact, "required programs are there");
    }
}
