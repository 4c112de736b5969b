//! What is remembered of a thread while it is in a system call.
//!
//! Kept in the kernel's own storage for tasks (open to tracing programs since 5.12), not in a hash: it
//! is found without hashing, has no size to run out of, and is freed with the thread, also with one
//! that is killed in the middle of a call.

use core::ptr;

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE, bpf_map_type},
    helpers::{bpf_get_current_task_btf, generated::bpf_task_storage_get},
    macros::btf_map,
};
use da_ebpf_common::event::ConnectionId;

/// A thread of a process that has, or had, a tracked connection.
#[repr(C)]
pub struct Thread {
    /// How often the tier had been shed when the call began.
    pub epoch: u64,
    /// When the call began, ns; 0 in none that is timed.
    pub began_ns: u64,
    /// The connection that the call has used; `born_ns` is 0 as long as there is none.
    pub connection: ConnectionId,
    /// How long the wait in `waited_in` took, ns.
    pub waited_ns: u64,
    /// When it ended, ns.
    pub wait_ended_ns: u64,
    /// Number of the [`da_ebpf_common::syscall::Syscall`].
    pub syscall: u8,
    /// The same of the wait right before, if it found something; 0 where it did not, and where the
    /// call right before was no wait.
    pub waited_in: u8,
}

/// aya-ebpf has no type for this kind of map: the fields are how the loader reads its BTF.
#[repr(C)]
struct TaskStorage<T> {
    r#type: *const [i32; bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: the fields are never read, they are only there for their types.
unsafe impl<T> Sync for TaskStorage<T> {}

#[btf_map]
static THREADS: TaskStorage<Thread> = TaskStorage {
    r#type: ptr::null(),
    key: ptr::null(),
    value: ptr::null(),
    max_entries: ptr::null(),
    map_flags: ptr::null(),
};

/// The current thread, if anything was ever remembered of it.
///
/// The pointer is to a value of the map, which lives as long as the thread; nobody but the programs
/// that run in this very thread uses it, one at a time.
#[inline(always)]
pub fn find() -> Option<*mut Thread> {
    get(0)
}

/// The current thread; `None` where the kernel has no memory for it.
#[inline(always)]
pub fn find_or_create() -> Option<*mut Thread> {
    get(u64::from(BPF_LOCAL_STORAGE_GET_F_CREATE))
}

#[inline(always)]
fn get(flags: u64) -> Option<*mut Thread> {
    let map = (&raw const THREADS).cast_mut().cast();
    // SAFETY: the helpers take the map, the task that the kernel hands out and no initial value:
    // a new one is all zeroes, which is a `Thread` in no call.
    let thread: *mut Thread = unsafe {
        bpf_task_storage_get(map, bpf_get_current_task_btf(), ptr::null_mut(), flags).cast()
    };
    (!thread.is_null()).then_some(thread)
}
