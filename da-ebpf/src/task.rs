//! Reads fields of a `struct task_struct`.

use aya_ebpf::helpers::bpf_get_current_task_btf;

use crate::{layout, sock::RawSock};

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

    /// Where its structure is.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0
    }

    /// `pid`: the thread's id in the initial PID namespace; 0 where there is no such thread.
    #[inline(always)]
    pub fn id(self) -> u32 {
        layout::read(self.0, &layout::TASK_PID)
    }

    /// `sched_info.run_delay`: how long it has waited for a CPU in all, ns; none where the kernel does not count.
    #[inline(always)]
    pub fn run_delay_ns(self) -> Option<u64> {
        (layout::TASK_RUN_DELAY.load() != 0).then(|| layout::read(self.0, &layout::TASK_RUN_DELAY))
    }

    /// `sched_info.last_queued`: whether it is ready to run, and does not.
    #[inline(always)]
    pub fn waits_for_cpu(self) -> bool {
        layout::read::<u64>(self.0, &layout::TASK_LAST_QUEUED) != 0
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

    /// The socket behind a descriptor of the process; nothing where that is something else.
    ///
    /// It takes no lock: where another thread closes the descriptor at this moment, the answer may be
    /// the socket that took its place.
    #[inline(always)]
    pub fn sock(self, descriptor: u64) -> Option<RawSock> {
        let files: u64 = layout::read(self.0, &layout::TASK_FILES);
        let table: u64 = layout::read(files, &layout::FILES_TABLE);
        let capacity: u32 = layout::read(table, &layout::TABLE_CAPACITY);
        if descriptor >= u64::from(capacity) {
            return None;
        }
        let entries: u64 = layout::read(table, &layout::TABLE_ENTRIES);
        let file: u64 = layout::read_at(entries + descriptor * size_of::<u64>() as u64);
        // A socket and its file point to each other; nothing else does that a file may belong to.
        let socket: u64 = layout::read(file, &layout::FILE_PRIVATE_DATA);
        let file_of_socket: u64 = layout::read(socket, &layout::SOCKET_FILE);
        if file == 0 || file_of_socket != file {
            return None;
        }
        Some(RawSock::of_socket(socket))
    }
}
