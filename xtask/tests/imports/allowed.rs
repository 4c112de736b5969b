//! Circles that there still are: the imports to be turned round. The list may only get shorter.

/// An import on a circle.
#[derive(Debug)]
pub struct Allowed {
    /// The file of the crate's root.
    pub root: &'static str,
    /// The module whose children both are.
    pub parent: &'static str,
    pub from: &'static str,
    pub to: &'static str,
    /// What has to be moved.
    #[expect(dead_code, reason = "it is for readers, here and in the message")]
    pub because: &'static str,
}

impl Allowed {
    pub fn is_in(&self, root: &str, parent: &str) -> bool {
        (self.root, self.parent) == (root, parent)
    }
}

pub const ALLOWED: &[Allowed] = &[
    in_kernel("series", "connection", "the process's name is read from `Peers` beside the metrics"),
    in_kernel("connection", "tracker", "`known::Totals` belongs to the probe that counts them"),
    in_kernel("pickup", "tracker", "`known::Settled` belongs below the probes"),
    in_kernel("tracker", "reader", "`reader::event` decodes what both take"),
    in_kernel("syscall", "reader", "`reader::event` decodes what both take"),
    in_kernel("syscall", "load", "the tier attaches programs, and loading lists the tier's"),
    in_kernel("endpoints", "exchange", "`Interleaving` is what the first bytes say of a protocol"),
    in_kernel("self_metrics", "load", "the programs' metrics belong to what loads them"),
    Allowed {
        root: "da-ebpf-common/src/lib.rs",
        parent: "crate",
        from: "tls",
        to: "connection",
        because: "`Peers` belongs into a file of its own",
    },
    in_bpf("connection", "arrival", "a record's transitions call the probes that call them"),
    in_bpf("connection", "exchange", "a record's transitions call the probes that call them"),
    in_bpf("exchange", "arrival", "a record's transitions call the probes that call them"),
    in_bpf("pickup", "connection", "looking a record up is in the file of a probe"),
    in_bpf("tls", "exchange", "a record's transitions call the probes that call them"),
];

const fn in_kernel(from: &'static str, to: &'static str, because: &'static str) -> Allowed {
    Allowed { root: "da-server/src/lib.rs", parent: "crate::kernel", from, to, because }
}

const fn in_bpf(from: &'static str, to: &'static str, because: &'static str) -> Allowed {
    Allowed { root: "da-ebpf/src/main.rs", parent: "crate", from, to, because }
}
