//! How long system calls on attributed connections take.
//!
//! Raw tracepoints, both since 4.17: `sys_enter(struct pt_regs *regs, long id)`,
//! `sys_exit(struct pt_regs *regs, long ret)`. They run at every system call of the host, so what
//! ends most runs comes first. Which connection a call is about is known inside it: the hooks on
//! sockets note it. Durations are added up here, in the buckets that are exported.

use core::arch::asm;

use aya_ebpf::{
    EbpfContext, Global,
    macros::{map, raw_tracepoint},
    maps::{Array, HashMap},
    programs::RawTracePointContext,
};
use da_ebpf_common::{
    connection::Connection,
    event::ConnectionId,
    histogram::bucket,
    meter::Counter,
    program::Program,
    syscall::{
        Calls, Durations, MAX_EARLY, MAX_PROCESSES, MAX_SERIES, Process, SYSCALL_NUMBERS, Syscall,
        is_read, is_wait,
    },
};

use crate::{
    atomic::add_word,
    meter::{self, now_ns},
    sock::Sock,
    thread::{self, Thread},
};

/// 1 where da-server attaches these programs: without them the hooks on sockets note nothing.
#[unsafe(no_mangle)]
static TIMES_SYSCALLS: Global<u32> = Global::new(0);

/// Number of a system call on this architecture → number of the [`Syscall`], or `TAKES_UP`; 0 for all
/// others.
#[unsafe(no_mangle)]
static SYSCALLS: [Global<u8>; SYSCALL_NUMBERS] = [const { Global::new(0) }; SYSCALL_NUMBERS];

/// See [`epoch`]; written by da-server alone.
#[map]
static SYSCALL_EPOCH: Array<u64> = Array::with_max_entries(1, 0);

/// Processes whose calls are timed, by their ids. Inserted here at a connect and by da-server, removed
/// by da-server once no connection of theirs is attributed.
#[map]
static PROCESSES: HashMap<u32, Process> = HashMap::with_max_entries(MAX_PROCESSES, 0);

/// Calls on connections of which it is not known yet whose they are. Inserted here at the connect,
/// removed by da-server when it knows.
#[map]
static EARLY_CALLS: HashMap<ConnectionId, Calls> = HashMap::with_max_entries(MAX_EARLY, 0);

/// What EARLY_CALLS begins with: it would not fit on a program's stack.
#[map]
static NO_CALLS: Array<Calls> = Array::with_max_entries(1, 0);

/// Attributed connections → their place in SERIES_CALLS. Written by da-server alone; not
/// preallocated, it sets the size.
#[map]
static SERIES: HashMap<ConnectionId, u32> =
    HashMap::with_max_entries(65_536, aya_ebpf::bindings::BPF_F_NO_PREALLOC);

/// Calls on attributed connections.
#[map]
static SERIES_CALLS: Array<Calls> = Array::with_max_entries(MAX_SERIES, 0);

/// Counts how often these programs were attached; 0 while they are not. Between two epochs nobody
/// saw calls begin or end: one that began in another epoch says nothing, nor does a wait.
#[inline(always)]
fn epoch() -> u64 {
    let Some(epoch) = SYSCALL_EPOCH.get_ptr(0) else { return 0 };
    // SAFETY: the pointer is to the array's only value; the word is written whole.
    unsafe { epoch.read_volatile() }
}

#[raw_tracepoint(tracepoint = "sys_enter")]
fn sys_enter(ctx: RawTracePointContext) -> i32 {
    let Some(run) = meter::begin(Program::SysEnter) else { return 0 };
    let syscall = known(ctx.arg(1));
    if syscall != 0 {
        enter(&ctx, syscall);
    }
    run.end();
    0
}

/// The [`Syscall`] behind a number of this architecture.
#[inline(always)]
fn known(number: u64) -> u8 {
    if number >= SYSCALL_NUMBERS as u64 {
        return 0;
    }
    SYSCALLS[number as usize & (SYSCALL_NUMBERS - 1)].load()
}

/// Only a connect makes a process one whose calls are timed, so connects are timed in any.
#[inline(always)]
fn enter(ctx: &RawTracePointContext, syscall: u8) {
    let process = PROCESSES.get_ptr(ctx.tgid());
    if syscall != Syscall::Connect as u8 && process.is_none() {
        return;
    }
    let Some(thread) = thread::find_or_create() else {
        meter::count(Counter::ThreadsFull);
        return;
    };
    let epoch = epoch();
    // SAFETY: see `thread::find`.
    unsafe {
        let is_break = process.is_none_or(|process| (*thread).wait_ended_ns < (*process).since_ns);
        if (*thread).epoch != epoch || is_break {
            (*thread).waited_in = 0; // there may have been calls that nobody saw
        }
        (*thread).epoch = epoch;
        (*thread).connection.born_ns = 0;
        (*thread).syscall = syscall;
        (*thread).began_ns = now_ns();
    }
}

#[raw_tracepoint(tracepoint = "sys_exit")]
fn sys_exit(ctx: RawTracePointContext) -> i32 {
    let Some(run) = meter::begin(Program::SysExit) else { return 0 };
    if let Some(thread) = thread::find() {
        exit(thread, ctx.arg(1));
    }
    run.end();
    0
}

#[inline(always)]
fn exit(thread: *mut Thread, result: i64) {
    // SAFETY: see `thread::find`.
    unsafe {
        let began_ns = (*thread).began_ns;
        if began_ns == 0 {
            return;
        }
        (*thread).began_ns = 0;
        if (*thread).epoch != epoch() {
            return;
        }
        let now_ns = now_ns();
        let took_ns = now_ns.saturating_sub(began_ns);
        let syscall = (*thread).syscall;
        if is_wait(syscall) {
            // Timed out, or broken off by a signal, it was for nothing that can be known.
            (*thread).waited_in = if result > 0 { syscall } else { 0 };
            ((*thread).waited_ns, (*thread).wait_ended_ns) = (took_ns, now_ns);
            return;
        }
        // Whatever this call was about: the wait before it was for that, if for anything known.
        let waited_in = (*thread).waited_in;
        (*thread).waited_in = 0;
        if (*thread).connection.born_ns == 0 {
            return;
        }
        let Some(calls) = calls_on(&(*thread).connection) else { return };
        add(calls, syscall, took_ns);
        // A send says nothing of what was waited for: it can be made at almost any time. Nor does a
        // read that finds nothing.
        if waited_in != 0 && is_read(syscall) && result >= 0 {
            add(calls, waited_in, (*thread).waited_ns);
        }
    }
}

/// Where the calls on a connection are counted; nowhere where nobody wants to know of it.
#[inline(always)]
fn calls_on(connection: &ConnectionId) -> Option<*mut Calls> {
    match SERIES.get_ptr(connection) {
        // SAFETY: the pointer is to a value of the map, whose word is read whole.
        Some(series) => SERIES_CALLS.get_ptr_mut(unsafe { *series }),
        None => EARLY_CALLS.get_ptr_mut(connection),
    }
}

/// # Safety
/// `calls` is from [`calls_on`].
#[inline(always)]
unsafe fn add(calls: *mut Calls, syscall: u8, took_ns: u64) {
    let mut place = u64::from(syscall).wrapping_sub(1);
    // SAFETY: changes nothing. It only hides from the compiler where the number comes from: it would
    // check one of the two and use the other, and before 6.10 the verifier forgets that they belong
    // together.
    unsafe { asm!("{0} = {0}", inout(reg) place, options(pure, nomem, nostack)) };
    if place >= Syscall::ALL.len() as u64 {
        return;
    }
    // SAFETY: the place is inside the list and the bucket inside its array.
    unsafe {
        let durations = (&raw mut (*calls).by_syscall).cast::<Durations>().add(place as usize);
        add_word(&raw mut (*durations).sum_ns, took_ns);
        add_word((&raw mut (*durations).buckets).cast::<u64>().add(bucket(took_ns)), 1);
    }
}

/// A connection has begun in the current thread, inside connect().
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
pub unsafe fn connecting(ctx: &impl EbpfContext, sock: impl Sock, connection: *const Connection) {
    if TIMES_SYSCALLS.load() == 0 || epoch() == 0 {
        return;
    }
    // SAFETY: the caller's promise.
    let id = unsafe { ConnectionId { sock: sock.key(), born_ns: (*connection).born_ns } };
    if let Some(process) = PROCESSES.get_ptr_mut(ctx.tgid()) {
        // SAFETY: the pointer is to a value of the map, whose word is written whole.
        unsafe { (*process).connected_ns = id.born_ns };
    } else {
        let process = Process { since_ns: id.born_ns, connected_ns: id.born_ns };
        if PROCESSES.insert(ctx.tgid(), process, 0).is_err() {
            meter::count(Counter::ProcessesFull);
        }
    }
    let Some(none) = NO_CALLS.get(0) else { return };
    if EARLY_CALLS.insert(id, none, 0).is_err() {
        meter::count(Counter::EarlyCallsFull);
    }
    // SAFETY: the caller's promise.
    unsafe { uses(ctx, sock, connection) };
}

/// The current system call has used this connection. Nothing is noted of another process than the one
/// that owns it.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
pub unsafe fn uses(ctx: &impl EbpfContext, sock: impl Sock, connection: *const Connection) {
    // SAFETY: the caller's promise.
    if TIMES_SYSCALLS.load() == 0 || unsafe { (*connection).peers.pid } != ctx.tgid() {
        return;
    }
    let Some(thread) = thread::find() else { return };
    // SAFETY: see `thread::find`; the rest is the caller's promise.
    unsafe {
        if (*thread).began_ns != 0 {
            (*thread).connection =
                ConnectionId { sock: sock.key(), born_ns: (*connection).born_ns };
        }
    }
}
