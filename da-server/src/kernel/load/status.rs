//! Whether there is a kernel view, and if not, why.

use std::fmt;

use da_ebpf_common::program::Program;

/// Why there is no kernel view: label value of `ebpf_unavailable{reason}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `kernel.enabled = false`.
    Disabled,
    /// The binary was built without the BPF object.
    NotBuilt,
    /// The process may not load BPF programs.
    MissingCapability,
    /// The kernel lacks type information, a field or a tracepoint the programs need.
    UnsupportedKernel,
    /// The kernel refused a map or a program.
    Refused,
    /// The programs were attached, but nobody reads their events any more.
    ReaderEnded,
}

impl Reason {
    /// All reasons, for label sets.
    pub const ALL: [Self; 6] = [
        Self::Disabled,
        Self::NotBuilt,
        Self::MissingCapability,
        Self::UnsupportedKernel,
        Self::Refused,
        Self::ReaderEnded,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::NotBuilt => "not_built",
            Self::MissingCapability => "missing_capability",
            Self::UnsupportedKernel => "unsupported_kernel",
            Self::Refused => "refused",
            Self::ReaderEnded => "reader_ended",
        }
    }
}

/// There is no kernel view: why, and what to do about it.
#[derive(Debug, Clone)]
pub struct Unavailable {
    /// The class.
    pub reason: Reason,
    /// A sentence for the operator.
    pub detail: String,
    /// What became of the programs, if they were tried.
    pub programs: Vec<(Program, ProgramState)>,
}

impl Unavailable {
    /// With a sentence that says what to do.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), programs: Vec::new() }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.detail, self.reason.as_str())
    }
}

impl std::error::Error for Unavailable {}

/// State of one program: label value of `ebpf_program_state{program,state}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramState {
    /// Loaded and attached.
    Attached,
    /// It ran once, as it should, and has done its work.
    Finished,
    /// The kernel has no such tracepoint, iterator, or field; unless another program takes its place,
    /// what it measures is absent.
    Missing,
    /// It is for kernels that lack the tracepoint of another one; this kernel has it.
    Unneeded,
    /// The kernel refused it; what the program measures is absent.
    Refused,
    /// The configuration does not want it; what the program measures is absent.
    Disabled,
    /// Detached for a while, because the view cost more than `kernel.cpu_budget`.
    Shed,
    /// There is no kernel view at all, for the reason that `ebpf_unavailable` tells.
    Absent,
}

impl ProgramState {
    /// All states, for label sets.
    pub const ALL: [Self; 8] = [
        Self::Attached,
        Self::Finished,
        Self::Missing,
        Self::Unneeded,
        Self::Refused,
        Self::Disabled,
        Self::Shed,
        Self::Absent,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Finished => "finished",
            Self::Missing => "missing",
            Self::Unneeded => "unneeded",
            Self::Refused => "refused",
            Self::Disabled => "disabled",
            Self::Shed => "shed",
            Self::Absent => "absent",
        }
    }
}
