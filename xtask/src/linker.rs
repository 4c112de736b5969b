//! bpf-linker: turns the LLVM bitcode that rustc writes into one BPF object.

use std::fs;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo_tool::ensure_installed;
use crate::command::answer;
use crate::toolchain::Toolchain;
use crate::workspace::Workspace;

const VERSION: &str = "0.13.0";

/// The LLVM versions that this bpf-linker has a cargo feature for.
const LLVM_MAJORS: RangeInclusive<u32> = 21..=23;

/// A bpf-linker that reads what `toolchain` writes, compiled first if it is not there.
///
/// Bitcode is only sure to be readable by the LLVM that wrote it, so the linker is linked with the
/// very library that the compiler loads. That library has no development package to install.
pub fn bpf_linker(workspace: &Workspace, toolchain: &Toolchain) -> Result<PathBuf> {
    let library = llvm_library(toolchain)?;
    let library_name =
        library.file_name().with_context(|| format!("{} is no file", library.display()))?;
    let folder =
        workspace.tools().join(format!("bpf-linker-{VERSION}-{}", library_name.to_string_lossy()));

    // `-lLLVM` looks for the plain name, the finished program for the versioned one.
    let prefix = folder.join("llvm");
    link_to(&library, &prefix.join("lib/libLLVM.so"))?;
    link_to(&library, &prefix.join("lib").join(library_name))?;

    let major = llvm_major(toolchain)?;
    ensure_installed("bpf-linker", VERSION, &folder, |command| {
        command
            .args(["--no-default-features", "--features"])
            .arg(format!("llvm-{major}"))
            .env("LLVM_PREFIX", &prefix);
    })
}

/// The LLVM library that this compiler loads.
fn llvm_library(toolchain: &Toolchain) -> Result<PathBuf> {
    let rustc = toolchain.rustc();
    let loaded = answer(toolchain.with_libraries(Command::new("ldd")).arg(&rustc))
        .with_context(|| format!("`ldd {}` failed", rustc.display()))?;
    llvm_in_ldd(&loaded).with_context(|| {
        format!(
            "{} has LLVM built in; bpf-linker needs one that is a shared library, as rustup's \
             compilers and Debian's have",
            rustc.display()
        )
    })
}

/// The library in lines like `libLLVM.so.22.1 => /lib/libLLVM.so.22.1 (0x00007f86b8200000)`.
fn llvm_in_ldd(output: &str) -> Option<PathBuf> {
    output.lines().find_map(|line| {
        let (name, place) = line.trim().split_once(" => ")?;
        let (path, _address) = place.rsplit_once(" (")?;
        name.starts_with("libLLVM").then(|| PathBuf::from(path))
    })
}

fn llvm_major(toolchain: &Toolchain) -> Result<u32> {
    let rustc = toolchain.rustc();
    let version = answer(toolchain.with_libraries(Command::new(&rustc)).arg("-vV"))
        .with_context(|| format!("`{} -vV` failed", rustc.display()))?;
    let major = llvm_in_version(&version)
        .with_context(|| format!("`{} -vV` does not name its LLVM", rustc.display()))?;
    ensure!(
        LLVM_MAJORS.contains(&major),
        "{} uses LLVM {major}, but bpf-linker {VERSION} works with {} to {}",
        rustc.display(),
        LLVM_MAJORS.start(),
        LLVM_MAJORS.end()
    );
    Ok(major)
}

/// 22 for a line `LLVM version: 22.1.8`.
fn llvm_in_version(output: &str) -> Option<u32> {
    let version = output.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

/// Makes `link` point at `target`, whatever it pointed at before.
fn link_to(target: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|current| current == target) {
        return Ok(());
    }
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    match fs::remove_file(link) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", link.display()));
        }
        _ => {}
    }
    symlink(target, link).with_context(|| format!("cannot create {}", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_read_from_what_the_compiler_loads() {
        let debian = "\tlinux-vdso.so.1 (0x00007fe815d41000)\n\
             \tlibrustc_driver-ea.so => /lib/x86_64-linux-gnu/librustc_driver-ea.so (0x00007fe8)\n\
             \tlibLLVM.so.22.1 => /lib/x86_64-linux-gnu/libLLVM.so.22.1 (0x00007fe807000000)\n";
        assert_eq!(
            llvm_in_ldd(debian),
            Some(PathBuf::from("/lib/x86_64-linux-gnu/libLLVM.so.22.1"))
        );
        let rustup = "\tlibLLVM.so.22.1-rust-1.97.0-nightly => \
             /home/a b/nightly/bin/../lib/libLLVM.so.22.1-rust-1.97.0-nightly (0x00007f)";
        assert_eq!(
            llvm_in_ldd(rustup),
            Some(PathBuf::from("/home/a b/nightly/bin/../lib/libLLVM.so.22.1-rust-1.97.0-nightly"))
        );
        assert_eq!(llvm_in_ldd("\tlibLLVM.so.22.1 => not found\n"), None);
        assert_eq!(llvm_in_ldd("\tlibc.so.6 => /lib/libc.so.6 (0x0)\n"), None);
    }

    #[test]
    fn the_llvm_version_is_read_from_the_compiler() {
        let version = "rustc 1.96.0\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.8";
        assert_eq!(llvm_in_version(version), Some(22));
        assert_eq!(llvm_in_version("rustc 1.96.0\nbackend: cranelift"), None);
    }

    #[test]
    fn a_link_follows_the_library_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("lib/libLLVM.so");
        for target in ["/old", "/new", "/new"] {
            link_to(Path::new(target), &link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        }
    }
}
