//! What of the host, and of this binary, decides whether there can be a kernel view: for people who
//! wonder why there is none. Whether there is one is decided by loading the programs, not here.

use std::fs;

use da_ebpf_common::program::Program;
use serde::Serialize;

use crate::kernel::load::layout::Layout;
use crate::kernel::load::status::Unavailable;
use crate::kernel::load::{self, privileges};

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
const UNPRIVILEGED_BPF: &str = "/proc/sys/kernel/unprivileged_bpf_disabled";

/// One thing about the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What.
    pub name: &'static str,
    /// Whether it stands in the way of a kernel view.
    pub ok: bool,
    /// How it is, and where it stands in the way what to do.
    pub detail: String,
}

impl Fact {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, ok: true, detail: detail.into() }
    }

    fn bad(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, ok: false, detail: detail.into() }
    }
}

/// All that is asked, in the order in which it matters.
pub fn facts() -> Vec<Fact> {
    vec![
        Fact::good("kernel", kernel_release()),
        match load::check_object() {
            Ok(bytes) => Fact::good("bpf_object", format!("{bytes} bytes in this binary")),
            Err(why) => Fact::bad("bpf_object", why.detail),
        },
        match privileges::check() {
            Ok(()) => Fact::good("capabilities", "CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN"),
            Err(why) => Fact::bad("capabilities", why.detail),
        },
        match Layout::of_running_kernel() {
            Ok(layout) => btf(&layout),
            Err(why) => Fact::bad("btf", why.to_string()),
        },
        lockdown(fs::read_to_string(LOCKDOWN).ok().as_deref()),
        tracefs(&fs::read_to_string("/proc/mounts").unwrap_or_default()),
        unprivileged_bpf(
            fs::read_to_string(UNPRIVILEGED_BPF).ok().as_deref(),
            privileges::check_maps_outlive().err(),
        ),
    ]
}

fn kernel_release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|error| format!("unknown: {error}"), |text| text.trim().to_owned())
}

/// What only some programs read stands in nobody else's way.
fn btf(layout: &Layout) -> Fact {
    let lacks = Program::ALL.into_iter().find_map(|program| {
        layout
            .missing_for(program)
            .map(|field| format!("{field}, which {} reads", program.as_str()))
    });
    let all = || "has every structure and field that the programs read".to_owned();
    Fact::good("btf", lacks.unwrap_or_else(all))
}

/// kernel_lockdown(7): the level in force is the one in brackets.
fn lockdown(text: Option<&str>) -> Fact {
    let level =
        text.and_then(|text| text.split_once('[')?.1.split_once(']')).map(|(level, _)| level);
    match level {
        Some("confidentiality") => Fact::bad(
            "lockdown",
            "confidentiality: programs may not read the kernel's memory; boot with \
             lockdown=integrity or none",
        ),
        Some(level) => Fact::good("lockdown", level),
        None => Fact::good("lockdown", format!("none, or {LOCKDOWN} is not mounted")),
    }
}

/// `mounts` is what /proc/mounts says.
fn tracefs(mounts: &str) -> Fact {
    let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let at =
        lines.find_map(|fields| (fields.get(2) == Some(&"tracefs")).then(|| fields[1].to_owned()));
    let how = at.map_or_else(|| "not mounted".to_owned(), |at| format!("mounted at {at}"));
    Fact::good("tracefs", format!("{how}; raw tracepoints do without"))
}

/// Documentation/admin-guide/sysctl/kernel.rst; `refused` if it keeps maps from who has no privilege.
fn unprivileged_bpf(text: Option<&str>, refused: Option<Unavailable>) -> Fact {
    let meaning = match text.map(str::trim) {
        Some("0") => "0: anybody may load programs",
        Some("1") => "1: CAP_BPF is needed, until the next boot",
        Some("2") => "2: CAP_BPF is needed",
        Some(other) => other,
        None => "unknown",
    };
    match refused {
        Some(why) => Fact::bad("unprivileged_bpf_disabled", format!("{meaning}; {}", why.detail)),
        None => {
            Fact::good("unprivileged_bpf_disabled", format!("{meaning}; the capabilities above do"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::load::status::Reason;

    #[test]
    fn only_confidentiality_locks_programs_out() {
        for (text, ok, word) in [
            (Some("none [integrity] confidentiality\n"), true, "integrity"),
            (Some("[none] integrity confidentiality\n"), true, "none"),
            (Some("none integrity [confidentiality]\n"), false, "lockdown=integrity"),
            (None, true, "not mounted"),
        ] {
            let fact = lockdown(text);
            assert_eq!(fact.ok, ok, "{text:?}");
            assert!(fact.detail.contains(word), "{fact:?}");
        }
    }

    #[test]
    fn tracefs_is_found_where_it_is_mounted() {
        let mounts = "proc /proc proc rw 0 0\ntracefs /sys/kernel/tracing tracefs rw 0 0\n";
        assert!(tracefs(mounts).detail.starts_with("mounted at /sys/kernel/tracing;"));
        assert!(tracefs("proc /proc proc rw 0 0\n").detail.starts_with("not mounted;"));
    }

    #[test]
    fn it_is_in_the_way_only_where_the_kernel_refuses_maps_for_it() {
        for text in [Some("0\n"), Some("1\n"), Some("2\n"), None] {
            assert!(unprivileged_bpf(text, None).ok);
        }
        assert!(unprivileged_bpf(Some("2\n"), None).detail.starts_with("2: "));
        let refused = Unavailable::new(Reason::UnsupportedKernel, "upgrade");
        let fact = unprivileged_bpf(Some("2\n"), Some(refused));
        assert!(!fact.ok && fact.detail.ends_with("; upgrade"), "{fact:?}");
    }
}
