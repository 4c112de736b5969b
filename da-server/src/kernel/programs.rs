//! The programs of the object: each is attached by itself, and where the kernel lacks what an optional
//! one needs, the others go on without it.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::programs::{Iter, ProgramError, RawTracePoint};
use aya::{Btf, BtfError, Ebpf};
use da_ebpf_common::program::{Hook, Program};

use super::config::Hooks;
use super::load::{incomplete, refused};
use super::status::{ProgramState, Reason, Unavailable};

/// What became of each program.
#[derive(Debug)]
pub struct Programs {
    attached: Vec<OwnedFd>,
    states: Vec<(Program, ProgramState)>,
    existing: Option<File>,
}

impl Programs {
    /// Loads and attaches all programs, those for older kernels where the kernel lacks the tracepoint
    /// of the one whose place they take.
    ///
    /// # Errors
    /// A required one can't be had. The others are tried all the same, so that it can be told what
    /// there is.
    pub fn attach(ebpf: &mut Ebpf, hooks: Hooks) -> Result<Self, Unavailable> {
        let mut programs = Self { attached: Vec::new(), states: Vec::new(), existing: None };
        let mut failed = None;
        for program in Program::ALL {
            if program.takes_the_place_of().is_some_and(|main| !programs.is_missing(main)) {
                programs.states.push((program, ProgramState::Unneeded));
                continue;
            }
            let has_substitute =
                Program::ALL.iter().any(|other| other.takes_the_place_of() == Some(program));
            let attached = match program.hook() {
                Hook::RawTracepoint(name) if has_substitute && hooks == Hooks::Older => {
                    Err(missing(program, &format!("tracepoint {name}")))
                }
                Hook::RawTracepoint(name) => {
                    attach(ebpf, program, name).map(|fd| programs.attached.push(fd))
                }
                Hook::Iterator(name) => {
                    open(ebpf, program, name).map(|file| programs.existing = Some(file))
                }
            };
            let state = match attached {
                Ok(()) => ProgramState::Attached,
                Err(why) => {
                    let (name, missing) =
                        (program.as_str(), why.reason == Reason::UnsupportedKernel);
                    if missing && has_substitute {
                        tracing::info!("another program takes the place of {name}: {why}");
                    } else if program.is_required() {
                        failed.get_or_insert(why);
                    } else {
                        tracing::warn!("going on without program {name}: {why}");
                    }
                    if missing { ProgramState::Missing } else { ProgramState::Refused }
                }
            };
            programs.states.push((program, state));
        }
        match failed {
            Some(why) => Err(Unavailable { programs: programs.states, ..why }),
            None => Ok(programs),
        }
    }

    fn is_missing(&self, program: Program) -> bool {
        self.states.contains(&(program, ProgramState::Missing))
    }

    /// The state of each program.
    pub fn states(&self) -> &[(Program, ProgramState)] {
        &self.states
    }

    /// The iterator's file of [`Program::Existing`]; none where the kernel gave none, or the second
    /// time.
    pub fn take_existing(&mut self) -> Option<File> {
        self.existing.take()
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

/// A program of the object, as one of its kind.
fn find<'a, T>(ebpf: &'a mut Ebpf, program: Program) -> Result<&'a mut T, Unavailable>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let name = program.as_str();
    let found = ebpf.program_mut(name).ok_or_else(|| incomplete("program", name))?;
    found.try_into().map_err(|error| refused(&format!("use program {name}"), &error))
}

fn attach(ebpf: &mut Ebpf, program: Program, tracepoint: &str) -> Result<OwnedFd, Unavailable> {
    let name = program.as_str();
    let loaded: &mut RawTracePoint = find(ebpf, program)?;
    loaded.load().map_err(|error| refused(&format!("load program {name}"), &error))?;
    match loaded.attach(tracepoint) {
        Ok(_) => {
            let fd =
                loaded.fd().map_err(|error| refused(&format!("use program {name}"), &error))?;
            fd.as_fd().try_clone_to_owned().map_err(|error| refused("duplicate a program", &error))
        }
        Err(ProgramError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Err(missing(program, &format!("tracepoint {tracepoint}")))
        }
        Err(error) => Err(refused(&format!("attach program {name}"), &error)),
    }
}

/// The file of an iterator. Opening it takes a privilege, reading it does not.
fn open(ebpf: &mut Ebpf, program: Program, iterator: &str) -> Result<File, Unavailable> {
    let step = format!("load program {}", program.as_str());
    let btf = Btf::from_sys_fs().map_err(|error| refused(&step, &error))?;
    let loaded: &mut Iter = find(ebpf, program)?;
    loaded.load(iterator, &btf).map_err(|error| match error {
        ProgramError::Btf(BtfError::UnknownBtfTypeName { .. }) => {
            missing(program, &format!("iterator {iterator}"))
        }
        error => refused(&step, &error),
    })?;
    let step = format!("attach program {}", program.as_str());
    let link = loaded.attach().map_err(|error| refused(&step, &error))?;
    let link = loaded.take_link(link).map_err(|error| refused(&step, &error))?;
    link.into_file().map_err(|error| refused(&step, &error))
}

fn missing(program: Program, what: &str) -> Unavailable {
    let since = program.since();
    Unavailable::new(
        Reason::UnsupportedKernel,
        format!("this kernel has no {what}: Linux {since} or later is needed"),
    )
}
