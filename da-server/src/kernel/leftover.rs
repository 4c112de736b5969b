//! Records of connections that are over, out of an iterator that walks through the programs' map.
//!
//! The kernel skips a run of a program that is running on that CPU already. Where that would have
//! been CLOSE, nobody removes the connection's record; this finds it.

use std::fs::File;
use std::io::{self, Read};
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use da_ebpf_common::event::{ConnectionId, MAX_LEFTOVERS};
use zerocopy::FromBytes;

/// Commands of bpf(2) and the type of attachment, include/uapi/linux/bpf.h.
const LINK_CREATE: libc::c_long = 28;
const ITER_CREATE: libc::c_long = 33;
const TRACE_ITER: u32 = 28;

/// `union bpf_attr` of `BPF_LINK_CREATE`, as far as an iterator needs it.
#[repr(C)]
struct LinkCommand {
    program_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// `union bpf_attr` of `BPF_ITER_CREATE`.
#[repr(C)]
struct IteratorCommand {
    link_fd: u32,
    flags: u32,
}

/// The iterator's link.
#[derive(Debug)]
pub struct Leftovers {
    link: OwnedFd,
}

impl Leftovers {
    /// Attaches the program; what aya makes of an iterator's link can be opened once. Takes a privilege.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn attach(program: BorrowedFd<'_>) -> io::Result<Self> {
        let mut command = LinkCommand {
            program_fd: program.as_raw_fd().cast_unsigned(),
            target_fd: 0,
            attach_type: TRACE_ITER,
            flags: 0,
        };
        // SAFETY: `LinkCommand` is laid out as the kernel's `bpf_attr` for this command.
        let link = unsafe { bpf(LINK_CREATE, &mut command) }?;
        Ok(Self { link })
    }

    /// Looks at every record, and finds so many at a time; the others are found the next time. Takes no
    /// privilege.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn find(&self) -> io::Result<Vec<ConnectionId>> {
        let link_fd = self.link.as_fd().as_raw_fd().cast_unsigned();
        // SAFETY: `IteratorCommand` is laid out as the kernel's `bpf_attr` for this command.
        let file = unsafe { bpf(ITER_CREATE, &mut IteratorCommand { link_fd, flags: 0 }) }?;
        let mut file = File::from(file);
        let mut buffer = [0; MAX_LEFTOVERS * size_of::<ConnectionId>()];
        let bytes = loop {
            match file.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let entries = buffer[..bytes].chunks_exact(size_of::<ConnectionId>());
        Ok(entries.filter_map(|entry| ConnectionId::read_from_bytes(entry).ok()).collect())
    }
}

/// Calls bpf(2) with a command that hands out a descriptor.
///
/// # Safety
/// `T` is laid out as the kernel's `bpf_attr` for `command`, and the addresses in it are of what that
/// command expects.
unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise; `attributes` lives until the call returns.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
