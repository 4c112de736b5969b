//! How one program is loaded and attached, by the kind of its hook.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::{BtfTracePoint, Iter, ProgramError, RawTracePoint};
use aya::{Btf, BtfError, Ebpf};
use da_ebpf_common::program::Program;

use super::refusal::{incomplete, refused};
use super::status::{Reason, Unavailable};
use crate::kernel::leftover::Leftovers;

/// A program of the object, as one of its kind.
pub(super) fn find<'a, T>(ebpf: &'a mut Ebpf, program: Program) -> Result<&'a mut T, Unavailable>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let name = program.as_str();
    let found = ebpf.program_mut(name).ok_or_else(|| incomplete("program", name))?;
    found.try_into().map_err(|error| refused(&format!("use program {name}"), &error))
}

/// Loads and attaches a program on a raw tracepoint.
pub(super) fn attach_raw(
    ebpf: &mut Ebpf,
    program: Program,
    tracepoint: &str,
) -> Result<(OwnedFd, RawTracePointLinkId), Unavailable> {
    let name = program.as_str();
    let loaded: &mut RawTracePoint = find(ebpf, program)?;
    loaded.load().map_err(|error| refused(&format!("load program {name}"), &error))?;
    let link = link(loaded, program, tracepoint)?;
    let fd = loaded.fd().map_err(|error| refused(&format!("use program {name}"), &error))?;
    let fd = fd.as_fd().try_clone_to_owned();
    Ok((fd.map_err(|error| refused("duplicate a program", &error))?, link))
}

/// Attaches a loaded program, which takes no privilege any more.
pub(super) fn link(
    loaded: &mut RawTracePoint,
    program: Program,
    tracepoint: &str,
) -> Result<RawTracePointLinkId, Unavailable> {
    match loaded.attach(tracepoint) {
        Ok(link) => Ok(link),
        Err(ProgramError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Err(missing(program, &format!("tracepoint {tracepoint}")))
        }
        Err(error) => Err(refused(&format!("attach program {}", program.as_str()), &error)),
    }
}

/// Loads and attaches a program on a tracepoint whose arguments are typed by BTF.
pub(super) fn attach_typed(
    ebpf: &mut Ebpf,
    program: Program,
    tracepoint: &str,
    btf: &Btf,
) -> Result<OwnedFd, Unavailable> {
    let name = program.as_str();
    let step = format!("load program {name}");
    let loaded: &mut BtfTracePoint = find(ebpf, program)?;
    loaded.load(tracepoint, btf).map_err(|error| match error {
        ProgramError::Btf(BtfError::UnknownBtfTypeName { .. }) => {
            missing(program, &format!("tracepoint {tracepoint}"))
        }
        error => refused(&step, &error),
    })?;
    loaded.attach().map_err(|error| refused(&format!("attach program {name}"), &error))?;
    let fd = loaded.fd().map_err(|error| refused(&format!("use program {name}"), &error))?;
    fd.as_fd().try_clone_to_owned().map_err(|error| refused("duplicate a program", &error))
}

/// A program of the object, loaded as an iterator of that kind.
fn load_iterator<'a>(
    ebpf: &'a mut Ebpf,
    program: Program,
    iterator: &str,
    btf: &Btf,
) -> Result<&'a mut Iter, Unavailable> {
    let step = format!("load program {}", program.as_str());
    let loaded: &mut Iter = find(ebpf, program)?;
    loaded.load(iterator, btf).map_err(|error| match error {
        ProgramError::Btf(BtfError::UnknownBtfTypeName { .. }) => {
            missing(program, &format!("iterator {iterator}"))
        }
        error => refused(&step, &error),
    })?;
    Ok(loaded)
}

/// An iterator whose file is opened again and again, which takes no privilege any more.
pub(super) fn open_repeatedly(
    ebpf: &mut Ebpf,
    program: Program,
    iterator: &str,
    btf: &Btf,
) -> Result<Leftovers, Unavailable> {
    let step = format!("attach program {}", program.as_str());
    let loaded = load_iterator(ebpf, program, iterator, btf)?;
    let fd = loaded.fd().map_err(|error| refused(&step, &error))?;
    Leftovers::attach(fd.as_fd()).map_err(|error| refused(&step, &error))
}

/// The file of an iterator. Opening it takes a privilege, reading it does not.
pub(super) fn open(
    ebpf: &mut Ebpf,
    program: Program,
    iterator: &str,
    btf: &Btf,
) -> Result<File, Unavailable> {
    let loaded = load_iterator(ebpf, program, iterator, btf)?;
    let step = format!("attach program {}", program.as_str());
    let link = loaded.attach().map_err(|error| refused(&step, &error))?;
    let link = loaded.take_link(link).map_err(|error| refused(&step, &error))?;
    link.into_file().map_err(|error| refused(&step, &error))
}

/// This kernel lacks what the program hooks into.
pub(super) fn missing(program: Program, what: &str) -> Unavailable {
    let since = program.since();
    Unavailable::new(
        Reason::UnsupportedKernel,
        format!("this kernel has no {what}: Linux {since} or later is needed"),
    )
}
