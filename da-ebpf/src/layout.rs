//! Where this kernel keeps the fields the programs read.
//!
//! aya-ebpf has no CO-RE, so da-server looks every offset up in the kernel's BTF and overrides these
//! globals before loading; the verifier then sees constants. The names are the contract with
//! da-server's `kernel/load/layout.rs`.

use core::ffi::c_void;

use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        pub static $name: Global<u32> = Global::new(0);
    )*};
}

offsets! {
    /// `sock_common.skc_family`
    SKC_FAMILY,
    /// `sock_common.skc_state`
    SKC_STATE,
    /// `sock_common.skc_num`: local port, host order
    SKC_NUM,
    /// `sock_common.skc_dport`: remote port, network order
    SKC_DPORT,
    /// `sock_common.skc_rcv_saddr`: local IPv4 address
    SKC_RCV_SADDR,
    /// `sock_common.skc_daddr`: remote IPv4 address
    SKC_DADDR,
    /// `sock_common.skc_v6_rcv_saddr`: local IPv6 address; 0 on a kernel without IPv6
    SKC_V6_RCV_SADDR,
    /// `sock_common.skc_v6_daddr`: remote IPv6 address; 0 on a kernel without IPv6
    SKC_V6_DADDR,
    /// `sock_common.skc_net.net`: the network namespace; 0 on a kernel without such
    SKC_NET,
    /// `net.ns.inum`: its inode number
    NET_INUM,
    /// `sock.sk_protocol`
    SK_PROTOCOL,
    /// `sock.sk_err`
    SK_ERR,
    /// `sock.sk_shutdown`
    SK_SHUTDOWN,
    /// `sock.sk_max_ack_backlog`
    SK_MAX_ACK_BACKLOG,
    /// `sock_common.skc_flags`
    SKC_FLAGS,
    /// `tcp_sock.bytes_received`
    TCP_BYTES_RECEIVED,
    /// `tcp_sock.bytes_acked`
    TCP_BYTES_ACKED,
    /// `tcp_sock.write_seq`: sequence number behind what was handed to the kernel
    TCP_WRITE_SEQ,
    /// `tcp_sock.rcv_nxt`: sequence number behind what has arrived in order
    TCP_RCV_NXT,
    /// `tcp_sock.snd_una`: sequence number behind what the peer has acknowledged
    TCP_SND_UNA,
    /// `socket.sk`
    SOCKET_SK,
    /// `task_struct.tgid`
    TASK_TGID,
    /// `task_struct.group_leader`
    TASK_GROUP_LEADER,
    /// `task_struct.comm`
    TASK_COMM,
    /// `task_struct.pid`
    TASK_PID,
    /// `task_struct.sched_info.run_delay`; 0 on a kernel that does not count
    TASK_RUN_DELAY,
    /// `task_struct.sched_info.last_queued`
    TASK_LAST_QUEUED,
    /// `tcp_sock.rtt_min.s[0].v`
    TCP_RTT_MIN,
    /// `tcp_sock.copied_seq`: sequence number of the first byte not read yet
    TCP_COPIED_SEQ,
    /// `tcp_sock.srtt_us`
    TCP_SRTT_US,
    /// `tcp_sock.total_retrans`
    TCP_TOTAL_RETRANS,
    /// `tcp_sock.rcv_ooopack`: segments that came out of order
    TCP_RCV_OOOPACK,
    /// `tcp_sock.segs_out`
    TCP_SEGS_OUT,
    /// `tcp_sock.rcv_wup`: `rcv_nxt` as the last acknowledgement had it
    TCP_RCV_WUP,
    /// `tcp_sock.rcv_wnd`: the window that this one advertised
    TCP_RCV_WND,
    /// `sk_buff.cb`, where TCP keeps its `tcp_skb_cb`
    SKB_CONTROL,
    /// `tcp_skb_cb.tcp_flags`
    SEGMENT_FLAGS,
    /// `tcp_skb_cb.seq`
    SEGMENT_SEQUENCE,
    /// `tcp_skb_cb.end_seq`
    SEGMENT_END_SEQUENCE,
    /// `tcp_skb_cb.ack_seq`
    SEGMENT_ACKED_SEQUENCE,
    /// `task_struct.files`
    TASK_FILES,
    /// `files_struct.fdt`
    FILES_TABLE,
    /// `fdtable.max_fds`
    TABLE_CAPACITY,
    /// `fdtable.fd`
    TABLE_ENTRIES,
    /// `file.private_data`
    FILE_PRIVATE_DATA,
    /// `socket.file`
    SOCKET_FILE,
    /// `pt_regs`: system call number
    REGS_SYSCALL,
    /// `pt_regs`: what tells a 32-bit process
    REGS_MODE,
    /// Not an offset: the bits of `REGS_MODE` that do
    MODE_MASK,
    /// Not an offset: their value in a 32-bit process
    MODE_32_BIT,
    /// `pt_regs`: first argument of a system call, still there when it returns
    REGS_ARGUMENT_1,
    /// `pt_regs`: second argument of a system call
    REGS_ARGUMENT_2,
    /// `pt_regs`: third argument of a system call
    REGS_ARGUMENT_3,
    /// `pt_regs`: fifth argument of a system call
    REGS_ARGUMENT_5,
    /// Not an offset: number of `write` on this architecture
    NR_WRITE,
    /// Not an offset: number of `writev`
    NR_WRITEV,
    /// Not an offset: number of `sendto`
    NR_SENDTO,
    /// Not an offset: number of `sendmsg`
    NR_SENDMSG,
    /// Not an offset: number of `sendmmsg`
    NR_SENDMMSG,
    /// Not an offset: number of `read`
    NR_READ,
    /// Not an offset: number of `readv`
    NR_READV,
    /// Not an offset: number of `recvfrom`
    NR_RECVFROM,
    /// Not an offset: number of `recvmsg`
    NR_RECVMSG,
    /// Not an offset: number of `recvmmsg`
    NR_RECVMMSG,
}

/// The field at an offset of a kernel structure, or all zeroes where the kernel refuses the read.
pub fn read<T: Default>(structure: u64, offset: &Global<u32>) -> T {
    read_at(structure + u64::from(offset.load()))
}

/// What is at an address of the kernel, or all zeroes where the kernel refuses the read.
///
/// Whether it did is not asked: the verifier would follow everything behind each read twice.
pub fn read_at<T: Default>(address: u64) -> T {
    let mut value = T::default();
    // SAFETY: the helper checks the address itself; of one that is not mapped it fills the value with zeroes. Offsets
    // come from the running kernel's BTF, so what is read is the field they name: an integer, or an array of such.
    unsafe {
        let target = (&raw mut value).cast();
        bpf_probe_read_kernel(target, size_of::<T>() as u32, address as *const c_void);
    }
    value
}
