//! The registers a system call was made with: `struct pt_regs`.

use aya_ebpf::{
    Global,
    helpers::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_task_pt_regs},
};

use crate::{
    layout,
    sock::{RawSock, Sock},
    task::Task,
};

/// Those of one system call; they stay as they are until it has returned, but for the result.
#[derive(Clone, Copy)]
pub struct Registers(u64);

impl Registers {
    /// Of the system call that the current thread is in, if that is about this socket. A hook may run inside of
    /// any other one: io_uring does what it has left to do as a call returns, and the kernel has clients of its
    /// own. The buffers of such a call are nobody's business.
    #[inline(always)]
    pub fn of_call_on(sock: impl Sock) -> Option<Self> {
        Self::are_of_call_on(sock).then(Self::current)
    }

    /// Whether they are about this socket.
    #[inline(always)]
    pub fn are_of_call_on(sock: impl Sock) -> bool {
        socket_of_call() == sock.key()
    }

    /// Of the system call that the current thread is in.
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: both helpers take the task the kernel hands out and nothing else; the registers
        // they return are those saved on the task's own kernel stack.
        Self(unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as u64)
    }

    /// The system call's number.
    #[inline(always)]
    pub fn syscall(self) -> Option<u32> {
        self.read(&layout::REGS_SYSCALL).map(|number| number as u32)
    }

    /// Its first argument.
    #[inline(always)]
    pub fn argument_1(self) -> Option<u64> {
        self.read(&layout::REGS_ARGUMENT_1)
    }

    /// Its second argument.
    #[inline(always)]
    pub fn argument_2(self) -> Option<u64> {
        self.read(&layout::REGS_ARGUMENT_2)
    }

    /// Its third argument.
    #[inline(always)]
    pub fn argument_3(self) -> Option<u64> {
        self.read(&layout::REGS_ARGUMENT_3)
    }

    /// Its fifth argument.
    #[inline(always)]
    pub fn argument_5(self) -> Option<u64> {
        self.read(&layout::REGS_ARGUMENT_5)
    }

    /// Whether a 32-bit process made it: those have other numbers.
    #[inline(always)]
    pub fn is_32_bit(self) -> bool {
        let mode = self.read(&layout::REGS_MODE).unwrap_or_default() as u32;
        mode & layout::MODE_MASK.load() == layout::MODE_32_BIT.load()
    }

    #[inline(always)]
    fn read(self, offset: &Global<u32>) -> Option<u64> {
        let address = (self.0 + u64::from(offset.load())) as *const u64;
        // SAFETY: the helper checks the address; the offset is one of `struct pt_regs`.
        unsafe { bpf_probe_read_kernel(address) }.ok()
    }
}

/// The socket that the system call of the current thread is about, if that is one that sends or reads.
#[inline(always)]
pub fn current_sock() -> Option<RawSock> {
    let address = socket_of_call();
    (address != 0).then(|| RawSock::from_argument(address))
}

/// Address of the socket whose descriptor is the first argument of the current system call, which it is of those
/// that send and read; 0 where there is none.
///
/// A function with a symbol of its own is verified once. It can't be asked about a socket: the verifier lets no
/// pointer that it knows pass for a number.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn socket_of_call() -> u64 {
    let Some(descriptor) = Registers::current().argument_1() else { return 0 };
    Task::current().sock(u64::from(descriptor as u32)).map_or(0, Sock::key)
}
