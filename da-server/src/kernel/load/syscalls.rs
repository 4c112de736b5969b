//! What the timing of system calls takes of the object.

use aya::maps::{Array, HashMap, MapData};
use da_ebpf_common::event::ConnectionId;
use da_ebpf_common::syscall::{Calls, Process, SYSCALL_NUMBERS, Syscall, TAKES_UP};

/// The maps, by their names in the object.
pub struct SyscallMapHandles {
    /// `SYSCALL_EPOCH`: nobody else writes it.
    pub epoch: Array<MapData, u64>,
    /// `PROCESSES`: the programs insert whoever connects; what is of no interest is removed here.
    pub processes: HashMap<MapData, u32, Process>,
    /// `EARLY_CALLS`: the programs insert a connection that begins; it is removed here.
    pub early_calls: HashMap<MapData, ConnectionId, Calls>,
    /// `SERIES`: nobody else writes it.
    pub series: HashMap<MapData, ConnectionId, u32>,
}

/// What a wait for sockets may have been for, beside the calls that are timed: a caller, a child's end,
/// bytes that are moved without one of those calls.
const TAKING_UP: [libc::c_long; 8] = [
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_io_uring_enter,
    libc::SYS_waitid,
];

/// Numbers of the system calls on the architecture this is built for: value of the global
/// `SYSCALLS`. Numbers of 32-bit processes are others; none of theirs is a call on a socket here.
pub fn numbers() -> [u8; SYSCALL_NUMBERS] {
    let mut numbers = [0; SYSCALL_NUMBERS];
    let known: &[(libc::c_long, Syscall)] = &[
        (libc::SYS_connect, Syscall::Connect),
        (libc::SYS_write, Syscall::Write),
        (libc::SYS_writev, Syscall::Writev),
        (libc::SYS_sendto, Syscall::Sendto),
        (libc::SYS_sendmsg, Syscall::Sendmsg),
        (libc::SYS_sendmmsg, Syscall::Sendmmsg),
        (libc::SYS_read, Syscall::Read),
        (libc::SYS_readv, Syscall::Readv),
        (libc::SYS_recvfrom, Syscall::Recvfrom),
        (libc::SYS_recvmsg, Syscall::Recvmsg),
        (libc::SYS_recvmmsg, Syscall::Recvmmsg),
        (libc::SYS_epoll_pwait, Syscall::EpollPwait),
        (libc::SYS_epoll_pwait2, Syscall::EpollPwait2),
        (libc::SYS_ppoll, Syscall::Ppoll),
        (libc::SYS_pselect6, Syscall::Pselect6),
        // arm64 has never had these three.
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_epoll_wait, Syscall::EpollWait),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_poll, Syscall::Poll),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_select, Syscall::Select),
    ];
    let known = known.iter().map(|(number, syscall)| (*number, *syscall as u8));
    for (number, syscall) in known.chain(TAKING_UP.map(|number| (number, TAKES_UP))) {
        if let Some(entry) = usize::try_from(number).ok().and_then(|at| numbers.get_mut(at)) {
            *entry = syscall;
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_this_architecture_has_a_number_of_its_own() {
        let numbers = numbers();
        for syscall in Syscall::ALL {
            let found = numbers.iter().filter(|number| **number == syscall as u8).count();
            let never = cfg!(target_arch = "aarch64")
                && matches!(syscall, Syscall::EpollWait | Syscall::Poll | Syscall::Select);
            assert_eq!(found, usize::from(!never), "{syscall:?}");
        }
        assert_eq!(numbers[libc::SYS_read as usize], Syscall::Read as u8);
        assert_eq!(numbers[libc::SYS_close as usize], 0);
        let taking_up = numbers.iter().filter(|number| **number == TAKES_UP).count();
        assert_eq!(taking_up, TAKING_UP.len());
    }
}
