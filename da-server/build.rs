//! Puts the BPF object into the binary, or nothing where it was not built.
//!
//! `DA_EBPF_OBJECT` (set for the whole workspace in `.cargo/config.toml`) names the file that
//! `cargo xtask build` leaves. Without it the server works, and says that it has no kernel view.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=DA_EBPF_OBJECT");
    let embedded = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("da-ebpf.o");
    let built = env::var_os("DA_EBPF_OBJECT").map(PathBuf::from).unwrap_or_default();
    if built.is_file() {
        println!("cargo::rerun-if-changed={}", built.display());
        fs::copy(&built, &embedded)?;
        return Ok(());
    }
    // A missing file would make cargo run this script, and compile the crate, at every build: the
    // folder it will appear in is watched in its place.
    if let Some(folder) = built.parent().filter(|folder| *folder != Path::new("")) {
        fs::create_dir_all(folder)?;
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    fs::write(&embedded, [])
}
