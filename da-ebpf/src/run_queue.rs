//! How long a thread waits for a CPU: `task_struct.sched_info.run_delay`, the second number of
//! `/proc/PID/task/TID/schedstat`. It grows as the thread gets a CPU.

use da_ebpf_common::{connection::Connection, pickup::Unread};

use crate::task::Task;

/// The thread that has used a connection last, and how long it has waited by now.
pub struct Waiter {
    /// Its id; 0 where there is none any more, or the kernel does not count.
    pub thread: u32,
    /// In all, ns.
    pub run_delay_ns: u64,
}

/// The current thread uses the connection.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the send or the receive hook.
#[inline(always)]
pub unsafe fn uses(connection: *mut Connection) {
    // SAFETY: the caller's promise.
    unsafe { (*connection).user = Task::current().address() };
}

/// Who is likely to read what arrives. None that waits for a CPU already: how long it has does not show before it has got
/// one, and it would count as a wait of these bytes.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
pub unsafe fn waiter(connection: *const Connection) -> Waiter {
    // SAFETY: the caller's promise. The thread may have ended, and its memory be another one's: the id tells.
    let task = Task::from_pointer(unsafe { (*connection).user });
    match task.run_delay_ns() {
        Some(run_delay_ns) if !task.waits_for_cpu() => Waiter { thread: task.id(), run_delay_ns },
        _ => Waiter { thread: 0, run_delay_ns: 0 },
    }
}

/// How long the current thread has waited for a CPU since these bytes had arrived, ns, and no longer than they have
/// waited; none where it is not the one that was likely to read them.
#[inline(always)]
pub fn waited_ns(unread: &Unread, reader: u32, most_ns: u64) -> Option<u64> {
    if unread.thread == 0 || unread.thread != reader {
        return None;
    }
    let delay_ns = Task::current().run_delay_ns()?.saturating_sub(unread.run_delay_ns);
    Some(if delay_ns < most_ns { delay_ns } else { most_ns })
}
