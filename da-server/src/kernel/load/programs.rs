//! The programs of the object: each is attached by itself, and where the kernel lacks what an optional
//! one needs, the others go on without it.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};

use aya::programs::RawTracePoint;
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::{Btf, Ebpf};
use da_ebpf_common::program::{Hook, Program};

use super::attach::{attach_raw, attach_typed, find, link, missing, open, open_repeatedly};
use super::layout::Layout;
use super::refusal::refused;
use super::status::{ProgramState, Reason, Unavailable};
use crate::kernel::config::Hooks;
use crate::kernel::leftover::Leftovers;

/// What became of each program.
#[derive(Debug)]
pub struct Programs {
    attached: Vec<OwnedFd>,
    states: Vec<(Program, ProgramState)>,
    existing: Option<File>,
    leftovers: Option<Leftovers>,
    syscalls: Option<Links>,
}

impl Programs {
    /// Loads and attaches all programs whose fields `layout` has, those for older kernels where the
    /// kernel lacks the tracepoint of the one whose place they take, those of the syscall tier where
    /// it is wanted.
    ///
    /// # Errors
    /// A required one can't be had. The others are tried all the same, so that it can be told what
    /// there is.
    pub fn attach(
        ebpf: &mut Ebpf,
        layout: &Layout,
        hooks: Hooks,
        with_syscalls: bool,
    ) -> Result<Self, Unavailable> {
        let (attached, states) = (Vec::new(), Vec::new());
        let mut programs =
            Self { attached, states, existing: None, leftovers: None, syscalls: None };
        let mut syscalls = Links(Vec::new());
        let mut failed = None;
        let btf = Btf::from_sys_fs().map_err(|error| refused("read its own types", &error))?;
        for program in Program::ALL {
            if program.takes_the_place_of().is_some_and(|main| !programs.is_missing(main)) {
                programs.states.push((program, ProgramState::Unneeded));
                continue;
            }
            let is_of_syscalls = Program::SYSCALLS.contains(&program);
            if is_of_syscalls && !with_syscalls {
                programs.states.push((program, ProgramState::Disabled));
                continue;
            }
            let has_substitute =
                Program::ALL.iter().any(|other| other.takes_the_place_of() == Some(program));
            let attached = match (layout.missing_for(program), program.hook()) {
                (Some(field), _) => {
                    Err(Unavailable::new(Reason::UnsupportedKernel, field.to_string()))
                }
                (None, Hook::BtfTracepoint(name)) if has_substitute && hooks == Hooks::Older => {
                    Err(missing(program, &format!("tracepoint {name}")))
                }
                (None, Hook::RawTracepoint(name)) => {
                    attach_raw(ebpf, program, name).map(|(fd, link)| {
                        programs.attached.push(fd);
                        if is_of_syscalls {
                            syscalls.0.push((program, link));
                        }
                    })
                }
                (None, Hook::BtfTracepoint(name)) => {
                    attach_typed(ebpf, program, name, &btf).map(|fd| programs.attached.push(fd))
                }
                (None, Hook::Iterator(name)) => {
                    open(ebpf, program, name, &btf).map(|file| programs.existing = Some(file))
                }
                (None, Hook::RepeatedIterator(name)) => open_repeatedly(ebpf, program, name, &btf)
                    .map(|leftovers| programs.leftovers = Some(leftovers)),
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
        if syscalls.0.len() == Program::SYSCALLS.len() {
            programs.syscalls = Some(syscalls);
        } else {
            programs.give_up(syscalls, ebpf);
        }
        match failed {
            Some(why) => Err(Unavailable { programs: programs.states, ..why }),
            None => Ok(programs),
        }
    }

    fn is_missing(&self, program: Program) -> bool {
        self.states.contains(&(program, ProgramState::Missing))
    }

    /// The links of the syscall tier; `None` where it is not all there.
    pub fn take_syscalls(&mut self) -> Option<Links> {
        self.syscalls.take()
    }

    /// One program of the syscall tier could not be had: the other one is of no use.
    fn give_up(&mut self, mut syscalls: Links, ebpf: &mut Ebpf) {
        syscalls.detach(ebpf);
        for (program, state) in &mut self.states {
            if Program::SYSCALLS.contains(program) && *state == ProgramState::Attached {
                *state = ProgramState::Refused;
            }
        }
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

    /// The iterator of [`Program::Leftover`]; none where the kernel gave none, or the second time.
    pub fn take_leftovers(&mut self) -> Option<Leftovers> {
        self.leftovers.take()
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

/// The links of the syscall tier's programs.
///
/// Attaching a program again takes no privilege: the kernel asked for it when the program was loaded.
#[derive(Debug)]
pub struct Links(Vec<(Program, RawTracePointLinkId)>);

impl Links {
    /// Attaches the programs again, all or none.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn attach(&mut self, ebpf: &mut Ebpf) -> Result<(), Unavailable> {
        for program in Program::SYSCALLS {
            let Hook::RawTracepoint(tracepoint) = program.hook() else { continue };
            match find::<RawTracePoint>(ebpf, program)
                .and_then(|loaded| link(loaded, program, tracepoint))
            {
                Ok(link) => self.0.push((program, link)),
                Err(why) => {
                    self.detach(ebpf);
                    return Err(why);
                }
            }
        }
        Ok(())
    }

    /// Detaches the programs: from then on they cost nothing.
    pub fn detach(&mut self, ebpf: &mut Ebpf) {
        for (program, link) in self.0.drain(..) {
            let step = format!("detach program {}", program.as_str());
            let detached = find::<RawTracePoint>(ebpf, program)
                .and_then(|found| found.detach(link).map_err(|error| refused(&step, &error)));
            if let Err(why) = detached {
                tracing::error!("{why}");
            }
        }
    }
}
