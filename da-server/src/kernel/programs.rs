//! The programs of the object: each is attached by itself, and where the kernel lacks what an optional
//! one needs, the others go on without it.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::Ebpf;
use aya::programs::{ProgramError, RawTracePoint};
use da_ebpf_common::program::Program;

use super::load::{incomplete, refused};
use super::status::{ProgramState, Reason, Unavailable};

/// What became of each program.
#[derive(Debug)]
pub struct Programs {
    attached: Vec<OwnedFd>,
    states: Vec<(Program, ProgramState)>,
}

impl Programs {
    /// Loads and attaches all programs.
    ///
    /// # Errors
    /// A required one can't be had.
    pub fn attach(ebpf: &mut Ebpf) -> Result<Self, Unavailable> {
        let mut programs = Self { attached: Vec::new(), states: Vec::new() };
        for program in Program::ALL {
            let state = match attach(ebpf, program) {
                Ok(fd) => {
                    programs.attached.push(fd);
                    ProgramState::Attached
                }
                Err(why) if program.is_required() => return Err(why),
                Err(why) => {
                    tracing::warn!("going on without program {}: {why}", program.as_str());
                    if why.reason == Reason::UnsupportedKernel {
                        ProgramState::Missing
                    } else {
                        ProgramState::Refused
                    }
                }
            };
            programs.states.push((program, state));
        }
        Ok(programs)
    }

    /// The state of each program.
    pub fn states(&self) -> &[(Program, ProgramState)] {
        &self.states
    }

    /// Runs that the kernel left out because the program was running on that CPU already:
    /// `recursion_misses` of the programs' fdinfo, since 5.12.
    pub fn recursion_misses(&self) -> u64 {
        let misses = |fd: &OwnedFd| {
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
            let line = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
            line.trim().parse::<u64>().ok()
        };
        self.attached.iter().filter_map(misses).sum()
    }
}

fn attach(ebpf: &mut Ebpf, program: Program) -> Result<OwnedFd, Unavailable> {
    let name = program.as_str();
    let found = ebpf.program_mut(name).ok_or_else(|| incomplete("program", name))?;
    let loaded: &mut RawTracePoint =
        found.try_into().map_err(|error| refused(&format!("use program {name}"), &error))?;
    loaded.load().map_err(|error| refused(&format!("load program {name}"), &error))?;
    match loaded.attach(program.tracepoint()) {
        Ok(_) => {
            let fd =
                loaded.fd().map_err(|error| refused(&format!("use program {name}"), &error))?;
            fd.as_fd().try_clone_to_owned().map_err(|error| refused("duplicate a program", &error))
        }
        Err(ProgramError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Err(Unavailable::new(
                Reason::UnsupportedKernel,
                format!(
                    "this kernel has no tracepoint {}: Linux {} or later is needed",
                    program.tracepoint(),
                    program.since()
                ),
            ))
        }
        Err(error) => Err(refused(&format!("attach program {name}"), &error)),
    }
}
