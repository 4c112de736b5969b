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
}

/// What makes a program run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// A raw tracepoint.
    RawTracepoint(&'static str),
    /// An iterator, while its file is read.
    Iterator(&'static str),
}

impl Program {
    /// All programs, in the order in which they attach: births last, so that whatever is born is
    /// seen by all of them, and then what is older.
    pub const ALL: [Self; 7] = [
        Self::ResetSent,
        Self::ResetReceived,
        Self::SockRecv,
        Self::SockArrival,
        Self::SockSend,
        Self::SockState,
        Self::Existing,
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
        }
    }

    /// What it attaches to.
    pub fn hook(self) -> Hook {
        Hook::RawTracepoint(match self {
            Self::SockState => "inet_sock_set_state",
            Self::SockSend => "sock_send_length",
            Self::SockArrival => "sk_data_ready",
            Self::SockRecv => "sock_recv_length",
            Self::ResetReceived => "tcp_receive_reset",
            Self::ResetSent => "tcp_send_reset",
            Self::Existing => return Hook::Iterator("task_file"),
        })
    }

    /// The Linux release that brought what it needs.
    pub fn since(self) -> &'static str {
        match self {
            Self::SockState => "4.16",
            Self::ResetReceived | Self::ResetSent => "4.15",
            Self::SockSend | Self::SockArrival | Self::SockRecv => "6.3",
            Self::Existing => "5.11",
        }
    }

    /// Whether there is no kernel view without it.
    pub fn is_required(self) -> bool {
        match self {
            Self::SockState | Self::SockSend | Self::SockArrival => true,
            Self::SockRecv | Self::ResetReceived | Self::ResetSent | Self::Existing => false,
        }
    }
}
