//! Looks up in the running kernel's BTF what da-ebpf's `layout.rs` declares.

use btf_rs::{Btf, Type};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Global in the object → structure and field whose offset it takes.
const FIELDS: &[(&str, &str, &str)] = &[
    ("SKC_FAMILY", "sock_common", "skc_family"),
    ("SKC_STATE", "sock_common", "skc_state"),
    ("SKC_NUM", "sock_common", "skc_num"),
    ("SKC_DPORT", "sock_common", "skc_dport"),
    ("SKC_RCV_SADDR", "sock_common", "skc_rcv_saddr"),
    ("SKC_DADDR", "sock_common", "skc_daddr"),
    ("SKC_V6_RCV_SADDR", "sock_common", "skc_v6_rcv_saddr"),
    ("SKC_V6_DADDR", "sock_common", "skc_v6_daddr"),
    ("SK_PROTOCOL", "sock", "sk_protocol"),
    ("SK_ERR", "sock", "sk_err"),
    ("SK_MAX_ACK_BACKLOG", "sock", "sk_max_ack_backlog"),
    ("SKC_FLAGS", "sock_common", "skc_flags"),
    ("TCP_BYTES_RECEIVED", "tcp_sock", "bytes_received"),
    ("TCP_BYTES_ACKED", "tcp_sock", "bytes_acked"),
    ("TCP_WRITE_SEQ", "tcp_sock", "write_seq"),
    ("TCP_RCV_NXT", "tcp_sock", "rcv_nxt"),
    ("TCP_SND_UNA", "tcp_sock", "snd_una"),
    ("SOCKET_SK", "socket", "sk"),
    ("TASK_TGID", "task_struct", "tgid"),
    ("TASK_GROUP_LEADER", "task_struct", "group_leader"),
    ("TASK_COMM", "task_struct", "comm"),
    ("TCP_COPIED_SEQ", "tcp_sock", "copied_seq"),
    ("TCP_SRTT_US", "tcp_sock", "srtt_us"),
    ("TCP_TOTAL_RETRANS", "tcp_sock", "total_retrans"),
    ("SKB_CONTROL", "sk_buff", "cb"),
    ("SEGMENT_FLAGS", "tcp_skb_cb", "tcp_flags"),
    ("SEGMENT_SEQUENCE", "tcp_skb_cb", "seq"),
    ("SEGMENT_END_SEQUENCE", "tcp_skb_cb", "end_seq"),
    ("SEGMENT_ACKED_SEQUENCE", "tcp_skb_cb", "ack_seq"),
    ("TASK_FILES", "task_struct", "files"),
    ("FILES_TABLE", "files_struct", "fdt"),
    ("TABLE_CAPACITY", "fdtable", "max_fds"),
    ("TABLE_ENTRIES", "fdtable", "fd"),
    ("FILE_PRIVATE_DATA", "file", "private_data"),
    ("SOCKET_FILE", "socket", "file"),
    #[cfg(target_arch = "x86_64")]
    ("REGS_SYSCALL", "pt_regs", "orig_ax"),
    #[cfg(target_arch = "x86_64")]
    ("REGS_MODE", "pt_regs", "cs"),
    #[cfg(target_arch = "x86_64")]
    ("REGS_ARGUMENT_1", "pt_regs", "di"),
    #[cfg(target_arch = "x86_64")]
    ("REGS_ARGUMENT_2", "pt_regs", "si"),
    #[cfg(target_arch = "x86_64")]
    ("REGS_ARGUMENT_3", "pt_regs", "dx"),
    #[cfg(target_arch = "aarch64")]
    ("REGS_SYSCALL", "pt_regs", "syscallno"),
    #[cfg(target_arch = "aarch64")]
    ("REGS_MODE", "pt_regs", "pstate"),
    #[cfg(target_arch = "aarch64")]
    ("REGS_ARGUMENT_1", "pt_regs", "orig_x0"),
];

/// System call numbers of the architecture this is built for.
const NUMBERS: &[(&str, libc::c_long)] = &[
    ("NR_WRITE", libc::SYS_write),
    ("NR_WRITEV", libc::SYS_writev),
    ("NR_SENDTO", libc::SYS_sendto),
    ("NR_SENDMSG", libc::SYS_sendmsg),
    ("NR_SENDMMSG", libc::SYS_sendmmsg),
];

/// What tells a 32-bit process in its registers: global and value.
///
/// x86: the code segment's selector, `__USER32_CS` (arch/x86/include/asm/segment.h; Xen keeps the
/// low byte). arm64: `PSR_MODE32_BIT` (arch/arm64/include/uapi/asm/ptrace.h).
const MODE: [(&str, u32); 2] = if cfg!(target_arch = "aarch64") {
    [("MODE_MASK", 0x10), ("MODE_32_BIT", 0x10)]
} else {
    [("MODE_MASK", 0xff), ("MODE_32_BIT", 0x23)]
};

/// Why the programs can't be fitted to this kernel.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The kernel carries no type information, or it can't be read.
    #[error("can't read {VMLINUX} (a kernel built with CONFIG_DEBUG_INFO_BTF has it): {0}")]
    NoBtf(#[source] btf_rs::Error),
    /// The kernel has no such field.
    #[error("this kernel's struct {structure} has no field {field}")]
    MissingField {
        /// The structure's name.
        structure: &'static str,
        /// The field's name.
        field: &'static str,
    },
}

/// Values for the object's globals: name and value.
#[derive(Debug)]
pub struct Layout(pub Vec<(&'static str, u32)>);

impl Layout {
    /// The layout of the kernel this runs on.
    ///
    /// # Errors
    /// No BTF, or a field that this kernel does not have.
    pub fn of_running_kernel() -> Result<Self, LayoutError> {
        let btf = Btf::from_file(VMLINUX).map_err(LayoutError::NoBtf)?;
        let mut values = Vec::with_capacity(FIELDS.len() + NUMBERS.len());
        for (global, structure, field) in FIELDS {
            values.push((*global, offset_bytes(&btf, structure, field)?));
        }
        if cfg!(target_arch = "aarch64") {
            // `pt_regs.regs[1]` and `[2]`: the array is the structure's first member.
            values.extend([("REGS_ARGUMENT_2", 8), ("REGS_ARGUMENT_3", 16)]);
        }
        values.extend(MODE);
        let number = |number: libc::c_long| u32::try_from(number).unwrap_or(u32::MAX);
        values.extend(NUMBERS.iter().map(|(global, value)| (*global, number(*value))));
        Ok(Self(values))
    }
}

fn offset_bytes(
    btf: &Btf,
    structure: &'static str,
    field: &'static str,
) -> Result<u32, LayoutError> {
    let candidates = btf.resolve_types_by_name(structure).map_err(LayoutError::NoBtf)?;
    candidates
        .iter()
        .find_map(|of| offset_bits(btf, of, field))
        .map(|bits| bits / 8)
        .ok_or(LayoutError::MissingField { structure, field })
}

/// Offset of a member, looked for inside anonymous structures and unions too.
fn offset_bits(btf: &Btf, of: &Type, field: &str) -> Option<u32> {
    let (Type::Struct(of) | Type::Union(of)) = of else { return None };
    of.members.iter().find_map(|member| match btf.resolve_name(member).ok()?.as_str() {
        name if name == field => Some(member.bit_offset()),
        "" => {
            let anonymous = btf.resolve_chained_type(member).ok()?;
            Some(member.bit_offset() + offset_bits(btf, &anonymous, field)?)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The port pair and the IPv6 pair are unions with a pair type: their order is fixed.
    #[test]
    fn the_running_kernel_has_every_field() {
        let layout = match Layout::of_running_kernel() {
            Ok(layout) => layout,
            Err(LayoutError::NoBtf(error)) => {
                assert!(std::env::var_os("DA_REQUIRE_KERNEL").is_none(), "no BTF: {error}");
                eprintln!("SKIPPED: no BTF on this machine: {error}");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let value = |name| layout.0.iter().find(|(global, _)| *global == name).expect(name).1;
        assert_eq!(value("SKC_NUM"), value("SKC_DPORT") + 2);
        assert!(value("SKC_V6_RCV_SADDR") == value("SKC_V6_DADDR") + 16);
        assert!(value("TCP_BYTES_RECEIVED") > value("SK_ERR"));
    }
}
