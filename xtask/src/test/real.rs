//! `cargo xtask test --real`: a conversation with a model and a voice that we did not write.

use std::ffi::OsString;

use anyhow::{Result, bail};

use super::{Privilege, of_cargo, setting};
use crate::build::bpf_object;
use crate::command::{run, step};
use crate::packages;
use crate::python::real_providers;
use crate::setup::TestNeeds;
use crate::workspace::Workspace;

/// The test. Without being asked for by name it does not run.
const TEST: [&str; 9] = [
    "-p",
    "da-server",
    "--test",
    "kernel",
    "--",
    "--exact",
    "--ignored",
    "--nocapture",
    "real::ten_turns_with_a_real_model_and_a_real_voice",
];

/// Installs what the test talks to, and runs it.
pub fn test(workspace: &Workspace) -> Result<()> {
    let privilege = Privilege::of_this_process();
    if privilege == Privilege::None {
        bail!("it loads BPF programs, which only root may");
    }
    let mut missing = packages::missing(packages::TESTS);
    missing.retain(|package| package.name.starts_with("python3"));
    let mut unavailable = packages::install_what_can_be_had(&missing);
    unavailable.extend(real_providers(workspace));
    if let Some(one) = unavailable.first() {
        bail!("{} can't be installed: {}", one.what, one.why);
    }
    bpf_object(workspace)?;
    let needs = TestNeeds { emulator: None, guest_kernel: None, unavailable };
    let setting = setting(workspace, &needs, privilege)?;
    step("play with a real model and a real voice");
    run(&mut of_cargo(&TEST.map(OsString::from), &setting)?)
}
