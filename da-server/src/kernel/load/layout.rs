//! Looks up in the running kernel's BTF what da-ebpf's `layout.rs` declares.

use std::collections::HashMap;
use std::fmt;

use btf_rs::{Backend, Btf, Type};
use da_ebpf_common::program::Program;

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Global in the object → structure and field whose offset it takes. A field of a field has a dot.
type Field = (&'static str, &'static str, &'static str);

/// What there is no kernel view without.
const REQUIRED: &[Field] = &[
    ("SKC_FAMILY", "sock_common", "skc_family"),
    ("SKC_NUM", "sock_common", "skc_num"),
    ("SKC_DPORT", "sock_common", "skc_dport"),
    ("SKC_RCV_SADDR", "sock_common", "skc_rcv_saddr"),
    ("SKC_DADDR", "sock_common", "skc_daddr"),
    ("SKC_STATE", "sock_common", "skc_state"),
    ("SKC_FLAGS", "sock_common", "skc_flags"),
    ("SK_PROTOCOL", "sock", "sk_protocol"),
    ("SK_ERR", "sock", "sk_err"),
    ("SK_SHUTDOWN", "sock", "sk_shutdown"),
    ("SK_MAX_ACK_BACKLOG", "sock", "sk_max_ack_backlog"),
    ("TCP_WRITE_SEQ", "tcp_sock", "write_seq"),
    ("TCP_RCV_NXT", "tcp_sock", "rcv_nxt"),
    ("TCP_SND_UNA", "tcp_sock", "snd_una"),
    ("TCP_SEGS_OUT", "tcp_sock", "segs_out"),
    ("TCP_BYTES_RECEIVED", "tcp_sock", "bytes_received"),
    ("TCP_BYTES_ACKED", "tcp_sock", "bytes_acked"),
    ("TASK_GROUP_LEADER", "task_struct", "group_leader"),
    ("TASK_COMM", "task_struct", "comm"),
    ("TASK_PID", "task_struct", "pid"),
    ("TCP_COPIED_SEQ", "tcp_sock", "copied_seq"),
    ("TCP_SRTT_US", "tcp_sock", "srtt_us"),
    ("TCP_TOTAL_RETRANS", "tcp_sock", "total_retrans"),
    ("TCP_RCV_OOOPACK", "tcp_sock", "rcv_ooopack"),
    ("TCP_RCV_WUP", "tcp_sock", "rcv_wup"),
    ("TCP_RCV_WND", "tcp_sock", "rcv_wnd"),
    ("TCP_RTT_MIN", "tcp_sock", "rtt_min.s.v"),
    ("SOCKET_SK", "socket", "sk"),
    ("SOCKET_FILE", "socket", "file"),
    ("TASK_FILES", "task_struct", "files"),
    ("FILES_TABLE", "files_struct", "fdt"),
    ("TABLE_CAPACITY", "fdtable", "max_fds"),
    ("TABLE_ENTRIES", "fdtable", "fd"),
    ("FILE_PRIVATE_DATA", "file", "private_data"),
    #[cfg(target_arch = "x86_64")]
    ("REGS_SYSCALL", "pt_regs", "orig_ax"),
    #[cfg(target_arch = "x86_64")]
    ("REGS_ARGUMENT_1", "pt_regs", "di"),
    #[cfg(target_arch = "x86_64")]
    ("REGS_ARGUMENT_2", "pt_regs", "si"),
    #[cfg(target_arch = "x86_64")]
    ("REGS_ARGUMENT_3", "pt_regs", "dx"),
    #[cfg(target_arch = "x86_64")]
    ("REGS_ARGUMENT_5", "pt_regs", "r8"),
    #[cfg(target_arch = "aarch64")]
    ("REGS_SYSCALL", "pt_regs", "syscallno"),
    #[cfg(target_arch = "aarch64")]
    ("REGS_ARGUMENT_1", "pt_regs", "orig_x0"),
];

/// What a kernel may have been built without: the programs then do without it, too. IPv6, namespaces, and
/// statistics of the scheduler.
const DISPENSABLE: &[Field] = &[
    ("SKC_V6_RCV_SADDR", "sock_common", "skc_v6_rcv_saddr"),
    ("SKC_V6_DADDR", "sock_common", "skc_v6_daddr"),
    ("SKC_NET", "sock_common", "skc_net.net"),
    ("NET_INUM", "net", "ns.inum"),
    ("TASK_RUN_DELAY", "task_struct", "sched_info.run_delay"),
    ("TASK_LAST_QUEUED", "task_struct", "sched_info.last_queued"),
];

/// What only some programs read: where it is missing they are, and the others go on without them.
const OPTIONAL: &[(&[Program], &[Field])] = &[
    (&[Program::Existing], &[("TASK_TGID", "task_struct", "tgid")]),
    (
        &[Program::TcpSegment],
        &[
            ("SKB_CONTROL", "sk_buff", "cb"),
            ("SEGMENT_FLAGS", "tcp_skb_cb", "tcp_flags"),
            ("SEGMENT_SEQUENCE", "tcp_skb_cb", "seq"),
            ("SEGMENT_END_SEQUENCE", "tcp_skb_cb", "end_seq"),
            ("SEGMENT_ACKED_SEQUENCE", "tcp_skb_cb", "ack_seq"),
        ],
    ),
    (
        &[Program::SyscallSend],
        &[
            #[cfg(target_arch = "x86_64")]
            ("REGS_MODE", "pt_regs", "cs"),
            #[cfg(target_arch = "aarch64")]
            ("REGS_MODE", "pt_regs", "pstate"),
        ],
    ),
];

/// System call numbers of the architecture this is built for.
const NUMBERS: &[(&str, libc::c_long)] = &[
    ("NR_WRITE", libc::SYS_write),
    ("NR_WRITEV", libc::SYS_writev),
    ("NR_SENDTO", libc::SYS_sendto),
    ("NR_SENDMSG", libc::SYS_sendmsg),
    ("NR_SENDMMSG", libc::SYS_sendmmsg),
    ("NR_READ", libc::SYS_read),
    ("NR_READV", libc::SYS_readv),
    ("NR_RECVFROM", libc::SYS_recvfrom),
    ("NR_RECVMSG", libc::SYS_recvmsg),
    ("NR_RECVMMSG", libc::SYS_recvmmsg),
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
    /// The kernel lacks a field that there is no kernel view without.
    #[error("{0}")]
    MissingField(MissingField),
}

/// A field that the running kernel does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingField {
    /// The structure's name.
    structure: &'static str,
    /// The field's name.
    field: &'static str,
}

impl fmt::Display for MissingField {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { structure, field } = self;
        write!(out, "this kernel's struct {structure} has no field {field}")
    }
}

/// What is known of a kernel's structures.
#[derive(Debug)]
pub struct Layout {
    /// Values for the object's globals: name and value. One of a missing field keeps its 0, and no
    /// program that reads it is loaded.
    pub values: Vec<(&'static str, u32)>,
    /// Missing fields, and the programs that read them.
    missing: Vec<(MissingField, &'static [Program])>,
}

impl Layout {
    /// The layout of the kernel this runs on.
    ///
    /// # Errors
    /// No BTF, or a field is missing that there is no kernel view without.
    pub fn of_running_kernel() -> Result<Self, LayoutError> {
        let mut types = Types::of_running_kernel()?;
        Self::of_fields(|structure, field| types.offset_bytes(structure, field))
    }

    /// `offset_bytes` tells where in a structure a field is, if there is one.
    fn of_fields(
        mut offset_bytes: impl FnMut(&'static str, &str) -> Result<Option<u32>, LayoutError>,
    ) -> Result<Self, LayoutError> {
        let (mut values, mut missing) = (Vec::new(), Vec::new());
        for (global, structure, field) in REQUIRED {
            let offset = offset_bytes(structure, field)?;
            let missing = LayoutError::MissingField(MissingField { structure, field });
            values.push((*global, offset.ok_or(missing)?));
        }
        for (global, structure, field) in DISPENSABLE {
            // No field that is looked for here begins its structure, so 0 is none.
            values.push((*global, offset_bytes(structure, field)?.unwrap_or(0)));
        }
        for (programs, fields) in OPTIONAL {
            for (global, structure, field) in *fields {
                match offset_bytes(structure, field)? {
                    Some(offset) => values.push((*global, offset)),
                    None => missing.push((MissingField { structure, field }, *programs)),
                }
            }
        }
        if cfg!(target_arch = "aarch64") {
            // `pt_regs.regs[1]`, `[2]` and `[4]`: the array is the structure's first member.
            let arguments =
                [("REGS_ARGUMENT_2", 8), ("REGS_ARGUMENT_3", 16), ("REGS_ARGUMENT_5", 32)];
            values.extend(arguments);
        }
        values.extend(MODE);
        let number = |number: libc::c_long| u32::try_from(number).unwrap_or(u32::MAX);
        values.extend(NUMBERS.iter().map(|(global, value)| (*global, number(*value))));
        Ok(Self { values, missing })
    }

    /// A field that the program reads and the kernel does not have, if there is one.
    pub fn missing_for(&self, program: Program) -> Option<MissingField> {
        let (field, _) = self.missing.iter().find(|(_, programs)| programs.contains(&program))?;
        Some(*field)
    }
}

/// The kernel's types, and of those that were asked for all that have that name.
struct Types {
    btf: Btf,
    named: HashMap<&'static str, Vec<Type>>,
}

impl Types {
    fn of_running_kernel() -> Result<Self, LayoutError> {
        // Kernels since 6.16 lend these 6 MB; of others they are copied, every string by itself, which takes
        // ten times as long.
        let btf = Btf::from_file_with_backend(VMLINUX, Backend::Mmap)
            .or_else(|_| Btf::from_file(VMLINUX))
            .map_err(LayoutError::NoBtf)?;
        Ok(Self { btf, named: HashMap::new() })
    }

    /// Where in a structure a field is, if there is one. To find a name all are read, so each is looked for once.
    fn offset_bytes(
        &mut self,
        structure: &'static str,
        field: &str,
    ) -> Result<Option<u32>, LayoutError> {
        if !self.named.contains_key(structure) {
            let named = self.btf.resolve_types_by_name(structure).map_err(LayoutError::NoBtf)?;
            self.named.insert(structure, named);
        }
        let bits = self.named[structure].iter().find_map(|of| offset_bits(&self.btf, of, field));
        Ok(bits.map(|bits| bits / 8))
    }
}

/// Offset of a member, looked for inside anonymous structures and unions too.
fn offset_bits(btf: &Btf, of: &Type, field: &str) -> Option<u32> {
    let (Type::Struct(of) | Type::Union(of)) = of else { return None };
    let (outer, inner) = field.split_once('.').unwrap_or((field, ""));
    of.members.iter().find_map(|member| match btf.resolve_name(member).ok()?.as_str() {
        name if name == outer && inner.is_empty() => Some(member.bit_offset()),
        name if name == outer => {
            let of = bare(btf, btf.resolve_chained_type(member).ok()?)?;
            Some(member.bit_offset() + offset_bits(btf, &of, inner)?)
        }
        "" => {
            let anonymous = btf.resolve_chained_type(member).ok()?;
            Some(member.bit_offset() + offset_bits(btf, &anonymous, field)?)
        }
        _ => None,
    })
}

/// What a name given by `typedef` stands for, and of an array the first element.
fn bare(btf: &Btf, of: Type) -> Option<Type> {
    match of {
        Type::Typedef(name) => bare(btf, btf.resolve_chained_type(&name).ok()?),
        Type::Array(all) => bare(btf, btf.resolve_chained_type(&all).ok()?),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that has all fields but one.
    fn without(absent: &str) -> Result<Layout, LayoutError> {
        Layout::of_fields(|_, field| Ok((field != absent).then_some(8)))
    }

    #[test]
    fn a_missing_field_takes_away_the_programs_that_read_it() {
        for (absent, gone) in [
            ("end_seq", vec![Program::TcpSegment]),
            ("tgid", vec![Program::Existing]),
            #[cfg(target_arch = "x86_64")]
            ("cs", vec![Program::SyscallSend]),
            ("skc_v6_daddr", vec![]),
            ("skc_net.net", vec![]),
            ("of no structure", vec![]),
        ] {
            let layout = without(absent).expect("the others go on");
            let missing = Program::ALL.into_iter().filter(|one| layout.missing_for(*one).is_some());
            assert_eq!(missing.collect::<Vec<_>>(), gone, "{absent}");
        }
    }

    #[test]
    fn without_a_field_that_all_read_there_is_no_layout() {
        let why = without("bytes_received").expect_err("all read it").to_string();
        assert_eq!(why, "this kernel's struct tcp_sock has no field bytes_received");
    }

    /// The port pair and the IPv6 pair are unions with a pair type: their order is fixed.
    #[test]
    fn the_running_kernel_has_every_field() {
        let layout = match Layout::of_running_kernel() {
            Ok(layout) => layout,
            Err(LayoutError::NoBtf(error)) => {
                da_testkit::programs::skip(&format!("no BTF on this machine: {error}"));
                return;
            }
            Err(error) => panic!("{error}"),
        };
        assert!(layout.missing.is_empty(), "{layout:?}");
        let value = |name| layout.values.iter().find(|(global, _)| *global == name).expect(name).1;
        assert_eq!(value("SKC_NUM"), value("SKC_DPORT") + 2);
        assert!(value("SKC_V6_RCV_SADDR") == value("SKC_V6_DADDR") + 16);
        assert!(value("TCP_BYTES_RECEIVED") > value("SK_ERR"));
        assert!(
            DISPENSABLE.iter().all(|(global, ..)| value(global) != 0),
            "a usual kernel has these"
        );
    }
}
