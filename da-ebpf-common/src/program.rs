//! The programs.

/// A program of the object; the numbers index the `METERS` array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Program {
    /// On `inet_sock_set_state`: birth and death.
    SockState = 0,
    /// On `sock_send_length`: requests.
    SockSend = 1,
    /// On `sk_data_ready`: what arrives.
    SockArrival = 2,
    /// On `sock_recv_length`: reads.
    SockRecv = 3,
    /// On `tcp_receive_reset`.
    ResetReceived = 4,
    /// On `tcp_send_reset`.
    ResetSent = 5,
    /// On the iterator `task_file`, once: connections that are older.
    Existing = 6,
    /// On `sys_exit`: takes the place of [`Self::SockSend`].
    SyscallSend = 7,
    /// On `tcp_probe`: takes the place of [`Self::SockArrival`].
    TcpSegment = 8,
    /// On `tcp_rcv_space_adjust`: takes the place of [`Self::SockRecv`].
    TcpRead = 9,
    /// On `sys_enter`: the beginning of system calls.
    SysEnter = 10,
    /// On `sys_exit`: their end.
    SysExit = 11,
    /// On the iterator `bpf_map`, now and then: records whose connection is over.
    Leftover = 12,
}

/// What makes a program run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// A raw tracepoint.
    RawTracepoint(&'static str),
    /// A tracepoint whose arguments the verifier knows by their types in the kernel's BTF: fields are
    /// read by plain loads.
    BtfTracepoint(&'static str),
    /// An iterator, while its file is read, once.
    Iterator(&'static str),
    /// An iterator that is read again and again, each time from a new file.
    RepeatedIterator(&'static str),
}

impl Program {
    /// All programs, in the order in which they attach: births last, so that whatever is born is
    /// seen by all of them, and then what is older.
    ///
    /// [`Self::SysExit`] comes after [`Self::SyscallSend`], which tells it what the call was about: the
    /// kernel runs them in this order.
    pub const ALL: [Self; 13] = [
        Self::ResetSent,
        Self::ResetReceived,
        Self::SockRecv,
        Self::TcpRead,
        Self::SockArrival,
        Self::TcpSegment,
        Self::SockSend,
        Self::SyscallSend,
        Self::SockState,
        Self::SysExit,
        Self::SysEnter,
        Self::Existing,
        Self::Leftover,
    ];

    /// The function's name in the object, and the value of the `program` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SockState => "sock_state",
            Self::SockSend => "sock_send",
            Self::SockArrival => "sock_arrival",
            Self::SockRecv => "sock_recv",
            Self::ResetReceived => "reset_received",
            Self::ResetSent => "reset_sent",
            Self::Existing => "existing",
            Self::SyscallSend => "syscall_send",
            Self::TcpSegment => "tcp_segment",
            Self::TcpRead => "tcp_read",
            Self::SysEnter => "sys_enter",
            Self::SysExit => "sys_exit",
            Self::Leftover => "leftover",
        }
    }

    /// What it attaches to.
    pub fn hook(self) -> Hook {
        Hook::RawTracepoint(match self {
            Self::SockState => return Hook::BtfTracepoint("inet_sock_set_state"),
            Self::SockSend => return Hook::BtfTracepoint("sock_send_length"),
            Self::SockArrival => return Hook::BtfTracepoint("sk_data_ready"),
            Self::SockRecv => return Hook::BtfTracepoint("sock_recv_length"),
            Self::ResetReceived => "tcp_receive_reset",
            Self::ResetSent => "tcp_send_reset",
            Self::SyscallSend => "sys_exit",
            Self::TcpSegment => "tcp_probe",
            Self::TcpRead => "tcp_rcv_space_adjust",
            Self::SysEnter => "sys_enter",
            Self::SysExit => "sys_exit",
            Self::Existing => return Hook::Iterator("task_file"),
            Self::Leftover => return Hook::RepeatedIterator("bpf_map"),
        })
    }

    /// The Linux release that has its hook and all that it calls: `bpf_task_pt_regs` came with 5.15,
    /// `bpf_for_each_map_elem` with 5.13, storage for tasks in such programs with 5.12,
    /// `bpf_sock_from_file` with 5.11, `bpf_probe_read_kernel` with 5.5.
    pub fn since(self) -> &'static str {
        match self {
            Self::SockSend | Self::SockArrival | Self::SockRecv => "6.3",
            Self::SyscallSend | Self::TcpRead => "5.15",
            Self::SockState | Self::SysEnter | Self::SysExit => "5.12",
            Self::Existing => "5.11",
            Self::Leftover => "5.13",
            Self::TcpSegment => "5.5",
            Self::ResetReceived | Self::ResetSent => "4.15",
        }
    }

    /// Whether there is no kernel view without it.
    pub fn is_required(self) -> bool {
        match self {
            Self::SockState
            | Self::SockSend
            | Self::SyscallSend
            | Self::SockArrival
            | Self::TcpSegment => true,
            Self::SockRecv | Self::TcpRead | Self::ResetReceived => false,
            Self::ResetSent | Self::Existing | Self::Leftover => false,
            Self::SysEnter | Self::SysExit => false,
        }
    }

    /// The program whose place it takes where the kernel does not have that one's tracepoint.
    pub fn takes_the_place_of(self) -> Option<Self> {
        match self {
            Self::SyscallSend => Some(Self::SockSend),
            Self::TcpSegment => Some(Self::SockArrival),
            Self::TcpRead => Some(Self::SockRecv),
            _ => None,
        }
    }

    /// The programs of the syscall tier, which is there as a whole or not at all.
    pub const SYSCALLS: [Self; 2] = [Self::SysExit, Self::SysEnter];
}
