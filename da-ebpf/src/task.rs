//! Reads fields of a `struct task_struct`.

use aya_ebpf::helpers::bpf_get_current_task_btf;

use crate::layout;

/// A thread that the kernel handed to the program.
#[derive(Clone, Copy)]
pub struct Task(u64);

impl Task {
    /// The thread that runs the program.
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the helper takes nothing and returns the running thread's task, always there.
        Self(unsafe { bpf_get_current_task_btf() } as u64)
    }

    /// From an iterator's `struct task_struct *`, which must not be null.
    #[inline(always)]
    pub fn from_pointer(pointer: u64) -> Self {
        Self(pointer)
    }

    /// `tgid`: the process's id in the initial PID namespace.
    #[inline(always)]
    pub fn process_id(self) -> u32 {
        layout::read(self.0, &layout::TASK_TGID)
    }

    /// `group_leader->comm`: the name of the process's first thread. Runtimes name their workers,
    /// so the connecting thread's own name would say little of the process.
    #[inline(always)]
    pub fn process_name(self) -> [u8; 16] {
        let leader: u64 = layout::read(self.0, &layout::TASK_GROUP_LEADER);
        layout::read(leader, &layout::TASK_COMM)
    }
}
