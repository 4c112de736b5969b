//! The Debian packages that the commands need, and how they get onto the machine.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{answer, as_typed, run, step};

/// One package of Debian's.
pub struct Package {
    /// What `apt-get install` calls it.
    pub name: &'static str,
    /// What it is needed for.
    pub why: &'static str,
    /// What shows that it, or another system's package like it, is there: a program that `PATH`
    /// leads to, or the full path of a file.
    shown_by: &'static str,
}

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

/// What the tests drive besides our own programs.
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
        name: "qemu-system-x86",
        why: "the emulator in which a test boots an older kernel",
        shown_by: "qemu-system-x86_64",
    },
    Package { name: "busybox-static", why: "the programs of that machine", shown_by: "busybox" },
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
        name: "debootstrap",
        why: "makes the clean Debian that a test installs the package in",
        shown_by: "/usr/sbin/debootstrap",
    },
    Package {
        name: "systemd-container",
        why: "systemd-nspawn, which runs that Debian",
        shown_by: "systemd-nspawn",
    },
    Package { name: "curl", why: "a client whose exchanges a test counts", shown_by: "curl" },
    Package {
        name: "nodejs",
        why: "another such client, with fetch and HTTP/2 of its own",
        shown_by: "node",
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

impl Package {
    /// Whether what it brings is there already.
    pub fn is_present(&self) -> bool {
        if self.shown_by.starts_with('/') {
            return Path::new(self.shown_by).exists();
        }
        env::var_os("PATH").is_some_and(|path| {
            env::split_paths(&path).any(|folder| folder.join(self.shown_by).is_file())
        })
    }
}

/// Those of `packages` that are not there.
pub fn missing(packages: &'static [Package]) -> Vec<&'static Package> {
    packages.iter().filter(|package| !package.is_present()).collect()
}

/// Installs `packages`, or says which command does so where this process may not.
///
/// # Errors
/// If they could not be installed. The message holds the command to type.
pub fn install(packages: &[&Package]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    step("install Debian packages");
    for package in packages {
        eprintln!("    {}: {}", package.name, package.why);
    }
    let mut command = install_command(packages);
    if answer(Command::new("apt-get").arg("--version")).is_none() {
        bail!(
            "this is not Debian: install what is listed above with this system's package manager, \
             then try again"
        );
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "only root may install packages. Type\n\n    sudo {}\n\nand try again",
            as_typed(&command)
        );
    }
    run(&mut command).context("apt-get could not install what is needed; its own words are above")
}

/// What installs `packages`, to be run as root from the repository's top folder.
pub fn install_command(packages: &[&Package]) -> Command {
    let mut command = Command::new("xtask/install-packages.sh");
    command.args(packages.iter().map(|package| package.name));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Package =
        Package { name: "dash", why: "a program that every PATH leads to", shown_by: "sh" };
    const NOTHING: Package =
        Package { name: "nothing", why: "neither program nor file", shown_by: "/nonexistent/file" };

    #[test]
    fn only_what_is_not_there_is_missing() {
        static BOTH: &[Package] = &[SHELL, NOTHING];
        let names: Vec<_> = missing(BOTH).iter().map(|package| package.name).collect();
        assert_eq!(names, ["nothing"]);
    }

    #[test]
    fn the_command_to_type_names_every_package() {
        assert_eq!(
            as_typed(&install_command(&[&SHELL, &NOTHING])),
            "xtask/install-packages.sh dash nothing"
        );
    }
}
