//! The Debian packages that the commands need, and how they get onto the machine.

mod list;
mod optional;
mod unpacked;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{answer, as_typed, run, step};

pub use list::{BENCHMARKS, BPF_COMPILER, BPF_LINTER, DISTRIBUTION, TESTS};
pub use optional::{Unavailable, install_what_can_be_had};
pub use unpacked::{unpack, unpacked_in, update_lists};

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

impl Package {
    /// Whether what it brings is there already.
    pub fn is_present(&self) -> bool {
        if self.shown_by.starts_with('/') {
            return Path::new(self.shown_by).exists();
        }
        env::split_paths(&path()).any(|folder| folder.join(self.shown_by).is_file())
    }
}

/// `PATH`, with the folders at its end in which Debian has programs for administrators: a user's own
/// leaves them out.
pub fn path() -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let all = env::split_paths(&own).chain(administrators);
    // A name with a colon in it came apart before, and is put together again.
    env::join_paths(all).unwrap_or(own)
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
    announce(packages);
    if let Some(obstacle) = obstacle() {
        bail!("{obstacle}. Type\n\n    {}\n\nand try again", to_type(packages));
    }
    run(&mut as_root(install_command(packages)))
        .context("apt-get could not install what is needed; its own words are above")
}

fn announce(packages: &[&Package]) {
    step("install Debian packages");
    for package in packages {
        eprintln!("    {}: {}", package.name, package.why);
    }
}

/// Why this process can't install packages, if so.
fn obstacle() -> Option<&'static str> {
    if answer(Command::new("apt-get").arg("--version")).is_none() {
        return Some("this is not Debian: this system's package manager has what brings the same");
    }
    (!is_root() && !sudo_asks_for_nothing()).then_some("only root may install packages")
}

/// What to type to install `packages`.
fn to_type(packages: &[&Package]) -> String {
    format!("sudo {}", as_typed(&install_command(packages)))
}

/// What installs `packages`, to be run as root from the repository's top folder; without any it only has apt read
/// its lists again.
pub fn install_command(packages: &[&Package]) -> Command {
    let mut command = Command::new("xtask/install-packages.sh");
    command.args(packages.iter().map(|package| package.name));
    command
}

/// The command as root runs it.
fn as_root(command: Command) -> Command {
    if is_root() {
        return command;
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["--non-interactive", "--preserve-env=NO_UPDATE"]);
    sudo.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        sudo.env(name, value.unwrap_or_default());
    }
    sudo
}

/// Whether this process is root's.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether sudo makes a command root's without asking for a password.
pub fn sudo_asks_for_nothing() -> bool {
    answer(Command::new("sudo").args(["--non-interactive", "true"])).is_some()
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
