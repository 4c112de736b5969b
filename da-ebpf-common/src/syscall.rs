//! The system calls that connect, write and read sockets, and those that wait for them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::histogram::BUCKETS;

/// System calls that are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Syscall {
    /// connect(2)
    Connect = 1,
    /// write(2)
    Write = 2,
    /// writev(2)
    Writev = 3,
    /// sendto(2), and with it send(3)
    Sendto = 4,
    /// sendmsg(2)
    Sendmsg = 5,
    /// sendmmsg(2)
    Sendmmsg = 6,
    /// read(2)
    Read = 7,
    /// readv(2)
    Readv = 8,
    /// recvfrom(2), and with it recv(3)
    Recvfrom = 9,
    /// recvmsg(2)
    Recvmsg = 10,
    /// recvmmsg(2)
    Recvmmsg = 11,
    /// epoll_wait(2)
    EpollWait = 12,
    /// epoll_pwait(2)
    EpollPwait = 13,
    /// epoll_pwait2(2)
    EpollPwait2 = 14,
    /// poll(2)
    Poll = 15,
    /// ppoll(2)
    Ppoll = 16,
    /// select(2)
    Select = 17,
    /// pselect6(2)
    Pselect6 = 18,
}

/// The first [`Syscall`] that reads; so do all behind it that do not wait.
const FIRST_READ: u8 = Syscall::Read as u8;

/// The first [`Syscall`] that waits for sockets; so do all behind it.
const FIRST_WAIT: u8 = Syscall::EpollWait as u8;

/// Not a [`Syscall`]: one that is not timed, but takes up what the wait before it may have been for.
pub const TAKES_UP: u8 = Syscall::Pselect6 as u8 + 1;

/// System call numbers that are looked at are below; a power of two.
pub const SYSCALL_NUMBERS: usize = 512;

/// Processes whose system calls are timed at once.
pub const MAX_PROCESSES: u32 = 4096;

/// Connections at once of which it is not known yet whose they are.
pub const MAX_EARLY: u32 = 1024;

/// Series that are told apart: endpoints, and in the collector their processes.
pub const MAX_SERIES: u32 = 512;

/// A process whose system calls are timed.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Process {
    /// Since when they are, without a break, ns.
    pub since_ns: u64,
    /// When it last began to connect anywhere, ns; where that was not seen, `since_ns`.
    pub connected_ns: u64,
}

impl Syscall {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Connect,
        Self::Write,
        Self::Writev,
        Self::Sendto,
        Self::Sendmsg,
        Self::Sendmmsg,
        Self::Read,
        Self::Readv,
        Self::Recvfrom,
        Self::Recvmsg,
        Self::Recvmmsg,
        Self::EpollWait,
        Self::EpollPwait,
        Self::EpollPwait2,
        Self::Poll,
        Self::Ppoll,
        Self::Select,
        Self::Pselect6,
    ];

    /// Value of the `syscall` label: the call's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Write => "write",
            Self::Writev => "writev",
            Self::Sendto => "sendto",
            Self::Sendmsg => "sendmsg",
            Self::Sendmmsg => "sendmmsg",
            Self::Read => "read",
            Self::Readv => "readv",
            Self::Recvfrom => "recvfrom",
            Self::Recvmsg => "recvmsg",
            Self::Recvmmsg => "recvmmsg",
            Self::EpollWait => "epoll_wait",
            Self::EpollPwait => "epoll_pwait",
            Self::EpollPwait2 => "epoll_pwait2",
            Self::Poll => "poll",
            Self::Ppoll => "ppoll",
            Self::Select => "select",
            Self::Pselect6 => "pselect6",
        }
    }
}

/// Whether the [`Syscall`] of a number waits for sockets instead of using one.
#[inline(always)]
pub fn is_wait(syscall: u8) -> bool {
    syscall >= FIRST_WAIT && syscall != TAKES_UP
}

/// Whether the [`Syscall`] of a number reads.
#[inline(always)]
pub fn is_read(syscall: u8) -> bool {
    (FIRST_READ..FIRST_WAIT).contains(&syscall)
}

/// Durations of one system call on the connections of one series, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Durations {
    /// Sum, ns.
    pub sum_ns: u64,
    /// Calls per bucket of [`crate::histogram::EDGES_NS`].
    pub buckets: [u64; BUCKETS],
}

impl Durations {
    /// Of no calls.
    pub const NONE: Self = Self { sum_ns: 0, buckets: [0; BUCKETS] };

    /// How many calls.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Adds another's calls.
    pub fn merge(&mut self, other: &Self) {
        self.sum_ns += other.sum_ns;
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
    }
}

/// Durations of every [`Syscall`] on the connections of one series.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Calls {
    /// In the order of [`Syscall::ALL`], which is that of their numbers from 1.
    pub by_syscall: [Durations; Syscall::ALL.len()],
}

const _: () = assert!(size_of::<Calls>() == 18 * 33 * 8);

impl Calls {
    /// None yet.
    pub const NONE: Self = Self { by_syscall: [Durations::NONE; Syscall::ALL.len()] };

    /// Adds another's calls.
    pub fn merge(&mut self, other: &Self) {
        for (durations, more) in self.by_syscall.iter_mut().zip(&other.by_syscall) {
            durations.merge(more);
        }
    }
}

#[cfg(feature = "user")]
// SAFETY: `Process` is `repr(C)`, two u64 without padding (zerocopy's `IntoBytes` proves that), any bit
// pattern is a value, and `Copy`.
unsafe impl aya::Pod for Process {}

#[cfg(feature = "user")]
// SAFETY: `Calls` is `repr(C)`, made of u64 only (zerocopy's `FromBytes` proves that every bit
// pattern is a value), and `Copy`.
unsafe impl aya::Pod for Calls {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_list_and_reads_come_before_waits() {
        for (place, syscall) in Syscall::ALL.into_iter().enumerate() {
            assert_eq!(syscall as usize, place + 1);
            let (reads, waits) = ((6..11).contains(&place), (11..18).contains(&place));
            assert_eq!(is_read(syscall as u8), reads, "{syscall:?}");
            assert_eq!(is_wait(syscall as u8), waits, "{syscall:?}");
        }
        assert_eq!(usize::from(TAKES_UP), Syscall::ALL.len() + 1, "behind the last");
        assert!(!is_wait(TAKES_UP) && !is_read(TAKES_UP));
    }

    #[test]
    fn merged_calls_add_up() {
        let mut one = Durations { sum_ns: 5, ..Durations::NONE };
        one.buckets[3] = 2;
        let mut all = Calls::NONE;
        all.by_syscall[7] = one;
        all.merge(&all.clone());
        assert_eq!((all.by_syscall[7].sum_ns, all.by_syscall[7].count()), (10, 4));
        assert_eq!(all.by_syscall[6], Durations::NONE);
    }
}
