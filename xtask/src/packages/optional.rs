//! Packages that some tests need and no command can't do without: what can be had is installed, and the
//! rest is told with its reason.

use std::process::Command;

use super::{Package, announce, as_root, install_command, obstacle, to_type};
use crate::command::{run, run_or_why, step};

/// What tests need and this machine can't have.
#[derive(Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// A package or a file.
    pub what: String,
    /// Why it can't be had, as one line.
    pub why: String,
}

/// Installs of `packages` what can be installed without removing anything from this machine; returns
/// the others.
pub fn install_what_can_be_had(packages: &[&'static Package]) -> Vec<Unavailable> {
    if packages.is_empty() {
        return Vec::new();
    }
    announce(packages);
    if let Some(obstacle) = obstacle() {
        let names: Vec<_> = packages.iter().map(|package| package.name).collect();
        let why = format!("{obstacle}. In the repository's folder, type: {}", to_type(packages));
        return vec![Unavailable { what: names.join(", "), why }];
    }
    if run(&mut as_root(install_command(packages))).is_err() {
        step("install them one by one: one that can't be had must not keep the others out");
        return packages.iter().filter_map(|package| install_one(package)).collect();
    }
    packages.iter().filter_map(|package| not_found(package)).collect()
}

/// Installs one package; if that can't be, why.
fn install_one(package: &'static Package) -> Option<Unavailable> {
    let mut install = as_root(install_command(&[package]));
    let why = match refusal(package.name) {
        Some(why) => why,
        // The lists are as fresh as they were a moment ago.
        None => match run_or_why(install.env("NO_UPDATE", "1")) {
            Ok(()) => return not_found(package),
            Err(said) => reason(&said),
        },
    };
    eprintln!("    {} can't be installed: {why}", package.name);
    Some(Unavailable { what: package.name.to_owned(), why })
}

/// A package that was installed, and whose program is not where it is looked for.
fn not_found(package: &'static Package) -> Option<Unavailable> {
    let why = || format!("it is installed, but there is no {} in PATH", package.shown_by);
    (!package.is_present()).then(|| Unavailable { what: package.name.to_owned(), why: why() })
}

/// Why apt would not install a package, if so; asks without changing anything.
fn refusal(package: &str) -> Option<String> {
    let simulated = Command::new("apt-get")
        .args(["--simulate", "install", "--yes", "--no-install-recommends", "--no-remove", package])
        .env("LC_ALL", "C")
        .output();
    match simulated {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said =
                String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            Some(reason(&said))
        }
        Err(error) => Some(format!("apt-get: {error}")),
    }
}

/// What of apt's words says why it refuses; its last words where none of them looks like a reason.
fn reason(said: &str) -> String {
    let mut lines = said.lines().map(str::trim_end);
    if lines.by_ref().any(|line| line == "The following packages will be REMOVED:") {
        let removed = lines.take_while(|line| line.starts_with(' ')).map(str::trim);
        return format!("it would remove {}", removed.collect::<Vec<_>>().join(" "));
    }
    let tells = |line: &&str| {
        ["E: ", " Depends: ", " Conflicts: ", " Breaks: "].iter().any(|word| line.contains(word))
    };
    let telling: Vec<_> = said.lines().filter(tells).collect();
    let last = || said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    one_line(&if telling.is_empty() { last().to_owned() } else { telling.join("; ") })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_is_named_by_what_would_go() {
        let said = "Reading package lists...\nThe following packages will be REMOVED:\n  qemu-utils\n\
                    The following NEW packages will be installed:\n  qemu-system-x86 seabios\n\
                    E: Packages need to be removed but remove is disabled.\n";
        assert_eq!(reason(said), "it would remove qemu-utils");
    }

    #[test]
    fn what_is_worded_otherwise_is_told_by_its_last_line() {
        assert_eq!(reason("installing\ndisk full, sorry\n\n"), "disk full, sorry");
        assert_eq!(reason(""), "");
    }

    #[test]
    fn an_unknown_package_and_an_unmet_one_are_named_by_apts_own_words() {
        assert_eq!(
            reason("Building dependency tree...\nE: Unable to locate package nothing\n"),
            "E: Unable to locate package nothing"
        );
        let said = "The following packages have unmet dependencies:\n \
                    chromium : Depends: libc6 (>= 2.40) but 2.36 is to be installed\n\
                    E: Unable to correct problems, you have held broken packages.\n";
        assert_eq!(
            reason(said),
            "chromium : Depends: libc6 (>= 2.40) but 2.36 is to be installed; \
             E: Unable to correct problems, you have held broken packages."
        );
    }
}
