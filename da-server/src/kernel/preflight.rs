//! What this host lets the kernel view measure: found out by loading and attaching the programs as a
//! server does, and letting go of them again.

pub(super) mod host;

use da_ebpf_common::program::{Hook, Program};
use serde::Serialize;

use self::host::Fact;
use super::Kernel;
use super::config::KernelConfig;
use super::load::status::{ProgramState, Unavailable};

/// Families about sockets, and the programs that measure them. A family has parts, such as resets sent
/// and received; a part is there if all its programs are.
const FAMILIES: &[(&str, &[&[Program]])] = &[
    ("dns_seconds", &[&[Program::SockSend, Program::SockRecv]]),
    ("dns_queries_total", &[&[Program::SockSend, Program::SockRecv]]),
    ("socket_connect_seconds", &[&[Program::SockState]]),
    ("socket_tls_handshake_seconds", &[&[Program::SockSend, Program::SockArrival]]),
    ("socket_first_byte_seconds", &[&[Program::SockSend, Program::SockArrival]]),
    ("socket_response_seconds", &[&[Program::SockSend, Program::SockArrival]]),
    ("socket_chunk_gap_seconds", &[&[Program::SockArrival]]),
    ("socket_long_gap_seconds", &[&[Program::SockArrival, Program::SockRecv]]),
    ("socket_buffered_responses_total", &[&[Program::SockArrival, Program::SockRecv]]),
    ("socket_pickup_seconds", &[&[Program::SockArrival, Program::SockRecv]]),
    ("socket_pickup_cause_seconds_total", &[&[Program::SockArrival, Program::SockRecv]]),
    ("socket_rtt_seconds", &[&[Program::SockState]]),
    ("socket_retransmits_total", &[&[Program::SockState]]),
    ("socket_resets_total", &[&[Program::ResetReceived], &[Program::ResetSent]]),
    ("socket_open_connections", &[&[Program::SockState]]),
    ("socket_lifetime_seconds", &[&[Program::SockState]]),
    ("socket_idle_seconds", &[&[Program::SockState, Program::SockSend, Program::SockArrival]]),
    ("socket_exchanges_per_connection", &[&[Program::SockSend, Program::SockArrival]]),
    ("socket_connections_total", &[&[Program::SockState]]),
    ("socket_exchanges_total", &[&[Program::SockSend, Program::SockArrival]]),
    (
        "socket_requests_in_flight",
        &[&[Program::SockState, Program::SockSend, Program::SockArrival]],
    ),
    (
        "socket_oldest_request_seconds",
        &[&[Program::SockState, Program::SockSend, Program::SockArrival]],
    ),
    (
        "syscall_seconds",
        &[&[Program::SysEnter, Program::SysExit, Program::SockSend, Program::SockRecv]],
    ),
    ("socket_sent_bytes_total", &[&[Program::SockSend]]),
    ("socket_received_bytes_total", &[&[Program::SockArrival]]),
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
        let lacks = |(program, state): &(Program, ProgramState)| {
            matches!(state, ProgramState::Missing | ProgramState::Refused)
                && substitute(*program, states).is_none()
        };
        let wanted = families.iter().filter(|found| found.extent != Extent::Disabled);
        let exact = wanted.into_iter().all(|found| found.extent == Extent::Exact);
        match (is_there, exact && !states.iter().any(lacks)) {
            (false, _) => Self::NoKernelView,
            (true, true) => Self::Exact,
            (true, false) => Self::Degraded,
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
    /// The Linux release that has that, and all that the program calls.
    pub since: &'static str,
    /// Whether there is no kernel view without it, or what takes its place.
    pub required: bool,
    /// The program whose place it takes on kernels that lack that one's hook.
    pub takes_the_place_of: Option<&'static str>,
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
    /// Programs that are not there, and that nothing takes the place of.
    pub without: Vec<&'static str>,
    /// Programs that take the place of others, by the hooks of older kernels.
    pub substitutes: Vec<&'static str>,
}

/// How much of a family there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All of it.
    Exact,
    /// A part; or all, but some of it by the hooks of older kernels.
    Degraded,
    /// Nothing.
    Absent,
    /// Nothing, as the configuration wants it.
    Disabled,
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
                None if !config.dns && family.starts_with("dns_") => {
                    FamilyFinding { extent: Extent::Disabled, ..FamilyFinding::nothing_of(family) }
                }
                None => found(family, parts, states),
                Some(_) => FamilyFinding::nothing_of(family),
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
            Hook::RawTracepoint(name) | Hook::BtfTracepoint(name) => {
                format!("raw tracepoint {name}")
            }
            Hook::Iterator(name) | Hook::RepeatedIterator(name) => format!("iterator {name}"),
        },
        since: program.since(),
        required: program.is_required(),
        takes_the_place_of: program.takes_the_place_of().map(Program::as_str),
        state: state_of(program, states).as_str(),
    }
}

fn is_attached(program: Program, states: &[(Program, ProgramState)]) -> bool {
    state_of(program, states) == ProgramState::Attached
}

/// The program that has taken the place of another one.
fn substitute(program: Program, states: &[(Program, ProgramState)]) -> Option<Program> {
    let takes_its_place = |other: &Program| other.takes_the_place_of() == Some(program);
    Program::ALL.into_iter().find(|other| takes_its_place(other) && is_attached(*other, states))
}

fn found(
    family: &'static str,
    parts: &[&[Program]],
    states: &[(Program, ProgramState)],
) -> FamilyFinding {
    let mut found = FamilyFinding::nothing_of(family);
    let mut parts_there = 0;
    for part in parts {
        let lacked = found.without.len();
        for program in part.iter().filter(|program| !is_attached(**program, states)) {
            match substitute(*program, states) {
                Some(other) => found.substitutes.push(other.as_str()),
                None => found.without.push(program.as_str()),
            }
        }
        parts_there += usize::from(found.without.len() == lacked);
    }
    let is_disabled = |program: &&Program| state_of(**program, states) == ProgramState::Disabled;
    found.extent = match parts_there {
        _ if parts.iter().copied().flatten().any(|program| is_disabled(&program)) => {
            Extent::Disabled
        }
        0 => Extent::Absent,
        all if all == parts.len() && found.substitutes.is_empty() => Extent::Exact,
        _ => Extent::Degraded,
    };
    found
}

impl FamilyFinding {
    fn nothing_of(family: &'static str) -> Self {
        Self { family, extent: Extent::Absent, without: Vec::new(), substitutes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_family_about_sockets_is_among_them() {
        let documented = include_str!("../../../docs/METRICS.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|name| ["socket_", "syscall_", "dns_"].iter().any(|of| name.starts_with(of)))
            .map(str::to_owned);
        let known = FAMILIES.iter().map(|(family, _)| (*family).to_owned());
        let [mut documented, mut known]: [Vec<_>; 2] = [documented.collect(), known.collect()];
        documented.sort();
        documented.dedup(); // once where it is defined, once in the quick reference
        known.sort();
        assert_eq!(known, documented);
    }

    #[test]
    fn one_program_or_family_less_is_less_of_a_view() {
        let family = |extent| FamilyFinding { extent, ..FamilyFinding::nothing_of("f") };
        let families =
            [Extent::Exact, Extent::Degraded, Extent::Absent, Extent::Disabled].map(family);
        let verdict = |state, of: std::ops::Range<usize>| {
            Verdict::of(true, &[(Program::Existing, state)], &families[of])
        };
        assert_eq!(verdict(ProgramState::Attached, 0..1), Verdict::Exact);
        assert_eq!(verdict(ProgramState::Unneeded, 0..1), Verdict::Exact);
        assert_eq!(verdict(ProgramState::Missing, 0..1), Verdict::Degraded);
        assert_eq!(verdict(ProgramState::Refused, 0..1), Verdict::Degraded);
        assert_eq!(verdict(ProgramState::Attached, 0..2), Verdict::Degraded);
        assert_eq!(verdict(ProgramState::Attached, 2..3), Verdict::Degraded);
        assert_eq!(verdict(ProgramState::Disabled, 3..4), Verdict::Exact, "nobody wants it");
        assert_eq!(Verdict::of(false, &[], &families[..1]), Verdict::NoKernelView);
    }

    #[test]
    fn a_family_is_as_much_there_as_its_programs() {
        let (received, sent) = (Program::ResetReceived, Program::ResetSent);
        let (attached, missing) = (ProgramState::Attached, ProgramState::Missing);
        let parts: &[&[Program]] = &[&[received], &[sent]];
        for (states, extent, without) in [
            ([(received, attached), (sent, attached)], Extent::Exact, vec![]),
            ([(received, attached), (sent, missing)], Extent::Degraded, vec!["reset_sent"]),
            (
                [(received, missing), (sent, ProgramState::Refused)],
                Extent::Absent,
                vec!["reset_received", "reset_sent"],
            ),
            (
                [(received, attached), (sent, ProgramState::Disabled)],
                Extent::Disabled,
                vec!["reset_sent"],
            ),
        ] {
            let found = found("f", parts, &states);
            assert_eq!((found.extent, found.without), (extent, without));
        }
    }

    #[test]
    fn what_takes_anothers_place_is_told() {
        let (attached, missing) = (ProgramState::Attached, ProgramState::Missing);
        let states = [(Program::SockRecv, missing), (Program::TcpRead, attached)];
        let by_substitute = found("f", &[&[Program::SockRecv]], &states);
        assert_eq!(by_substitute.extent, Extent::Degraded);
        assert_eq!(by_substitute.substitutes, ["tcp_read"]);
        assert!(by_substitute.without.is_empty());
        let states = [(Program::SockRecv, attached), (Program::TcpRead, ProgramState::Unneeded)];
        assert_eq!(found("f", &[&[Program::SockRecv]], &states).extent, Extent::Exact);
    }
}
