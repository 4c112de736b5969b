//! Which packages the commands need, and what for.

use super::Package;

/// A compiler for the BPF programs. Not needed where rustup's nightly has `rust-src`.
pub const BPF_COMPILER: &[Package] = &[
    Package {
        name: "rustc-web",
        why: "a Rust compiler for which Debian also ships BPF's core",
        shown_by: "/usr/bin/rustc",
    },
    Package {
        name: "libstd-rust-web-dev-bpf",
        why: "core, compiled for the BPF target",
        shown_by: "/usr/lib/rustlib/bpfel-unknown-none",
    },
];

/// The linter of that compiler.
pub const BPF_LINTER: &[Package] = &[Package {
    name: "rust-web-clippy",
    why: "lints the BPF programs as the BPF target compiles them",
    shown_by: "/usr/bin/cargo-clippy",
}];

/// What the tests drive besides our own programs. What can't be installed skips the tests that drive it.
/// The emulator is not among them: it is unpacked beside the project.
pub const TESTS: &[Package] = &[
    Package {
        name: "chromium",
        why: "the browser that plays the game in a test",
        shown_by: "chromium",
    },
    Package {
        name: "chromium-driver",
        why: "lets a test type and click in that browser",
        shown_by: "chromedriver",
    },
    Package {
        name: "firefox-esr",
        why: "another browser that plays it, and streams audio in its own way",
        shown_by: "firefox-esr",
    },
    Package {
        name: "fonts-dejavu-core",
        why: "letters, without which screenshots are blank",
        shown_by: "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    },
    Package {
        name: "iproute2",
        why: "ip, with which tests make networks of their own",
        shown_by: "ip",
    },
    Package {
        name: "nftables",
        why: "nft, with which a test loses packets",
        shown_by: "/usr/sbin/nft",
    },
    Package {
        name: "busybox-static",
        why: "the programs of the machine in which a test boots an older kernel",
        shown_by: "busybox",
    },
    Package {
        name: "prometheus",
        why: "scrapes us in tests; its promtool judges our /metrics and rules",
        shown_by: "promtool",
    },
    Package {
        name: "prometheus-alertmanager",
        why: "tells a test of an alert; its amtool judges where alerts go",
        shown_by: "prometheus-alertmanager",
    },
    Package {
        name: "nginx-light",
        why: "a server that speaks HTTP/2, with OpenSSL's session tickets",
        shown_by: "nginx",
    },
    Package {
        name: "postgresql-15",
        why: "the database that several servers share in a test",
        shown_by: "/usr/lib/postgresql/15/bin/initdb",
    },
    Package {
        name: "dnsmasq-base",
        why: "a DNS server, which tests ask and slow down",
        shown_by: "dnsmasq",
    },
    Package {
        name: "musl-tools",
        why: "compiles a client whose C library asks DNS in another way",
        shown_by: "musl-gcc",
    },
    Package {
        name: "debootstrap",
        why: "makes the clean Debian that a test installs the package in",
        shown_by: "/usr/sbin/debootstrap",
    },
    Package {
        name: "systemd-container",
        why: "systemd-nspawn, which runs that Debian",
        shown_by: "systemd-nspawn",
    },
    Package { name: "git", why: "lists what belongs to the repository", shown_by: "git" },
    Package { name: "curl", why: "a client whose exchanges a test counts", shown_by: "curl" },
    Package {
        name: "nodejs",
        why: "another such client, with fetch and HTTP/2 of its own",
        shown_by: "node",
    },
    Package {
        name: "npm",
        why: "installs that client's libraries into target/, and nowhere else",
        shown_by: "npm",
    },
    Package {
        name: "openjdk-17-jdk-headless",
        why: "compiles and runs another such client",
        shown_by: "javac",
    },
    Package { name: "golang-go", why: "compiles another such client", shown_by: "go" },
    Package { name: "python3", why: "runs further such clients", shown_by: "python3" },
    Package {
        name: "python3-pip",
        why: "installs their libraries into target/, and nowhere else",
        shown_by: "pip3",
    },
];

/// What the benchmarks measure with, and what they hold us against.
pub const BENCHMARKS: &[Package] = &[
    Package { name: "nginx-light", why: "a web server to watch", shown_by: "/usr/sbin/nginx" },
    Package { name: "wrk", why: "asks it as fast as it answers", shown_by: "wrk" },
    Package { name: "bpftrace", why: "measures the same by a script", shown_by: "bpftrace" },
    Package {
        name: "postgresql-15",
        why: "a database for the players' turns",
        shown_by: "/usr/lib/postgresql/15/bin/initdb",
    },
    Package { name: "tcpdump", why: "says when each packet came", shown_by: "tcpdump" },
    Package { name: "strace", why: "watches the server's system calls", shown_by: "strace" },
    Package { name: "iproute2", why: "brings a namespace's loopback up", shown_by: "ip" },
];

/// What packs a release.
pub const DISTRIBUTION: &[Package] = &[
    Package { name: "binutils", why: "strip, which takes symbols away", shown_by: "strip" },
    Package {
        name: "dpkg-dev",
        why: "tells which packages have the libraries that the server loads",
        shown_by: "dpkg-shlibdeps",
    },
];
