//! `cargo xtask build`: the BPF object, then the host's programs, of which the server embeds it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command::{cargo, run, run_and_read, step};
use crate::setup::{BpfTools, bpf_tools};
use crate::workspace::{BPF_TARGET, Workspace};

/// Build the BPF programs, and the server that embeds them
#[derive(clap::Args)]
pub struct Arguments {
    /// Build what operators install, and nothing else: the server, optimized (the BPF programs always are)
    #[arg(long)]
    release: bool,
}

impl Arguments {
    /// What cargo builds for the host.
    fn of_cargo(&self) -> &'static [&'static str] {
        if self.release {
            &["--release", "--package", "da-server"]
        } else {
            &["--bins", AS_FOR_TESTS]
        }
    }
}

/// Has cargo choose the features of dependencies as it does for tests, which use more of them: by itself
/// it would compile most dependencies once for programs and once more for tests. There are no examples.
pub const AS_FOR_TESTS: &str = "--examples";

/// Builds the host's programs, the BPF object first.
pub fn build(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    bpf_object(workspace)?;
    host_programs(arguments.of_cargo()).map(|_| ())
}

/// Builds for the host what `arguments` of `cargo build` say, everything without them; returns where
/// each program is, by its name.
pub fn host_programs(arguments: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    step("build the host's programs");
    let mut command = cargo("build");
    command.args(["--message-format", "json-render-diagnostics"]).args(arguments);
    Ok(run_and_read(&mut command)?.lines().filter_map(built_program).collect())
}

/// Name and path in a message of cargo's, if it is about a finished program.
fn built_program(message: &str) -> Option<(String, PathBuf)> {
    #[derive(Deserialize)]
    struct Artifact {
        target: Target,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let artifact: Artifact = serde_json::from_str(message).ok()?;
    Some((artifact.target.name, artifact.executable?))
}

/// Builds the BPF programs and puts the object where da-server's build script looks for it.
pub fn bpf_object(workspace: &Workspace) -> Result<()> {
    let tools = bpf_tools(workspace)?;
    step(&format!("build the BPF programs with {}", tools.toolchain.describe()));
    run(&mut bpf_cargo(workspace, &tools, "build"))?;
    let built = workspace.bpf_target().join(BPF_TARGET).join("release/da-ebpf");
    replace_if_changed(&built, &workspace.bpf_object()?)
}

/// `cargo SUBCOMMAND` for da-ebpf and its target.
pub fn bpf_cargo(workspace: &Workspace, tools: &BpfTools, subcommand: &str) -> Command {
    let mut command = tools.toolchain.cargo(subcommand);
    command
        .args(["--package", "da-ebpf", "--release", "--target-dir"])
        .arg(workspace.bpf_target())
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &tools.linker)
        .env(
            "CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS",
            // BTF is what lets the kernel's and bpftool's messages name types and lines.
            "-Clink-arg=--btf -Ctarget-cpu=v3",
        )
        // A function that was compiled with less, even one of a dependency, makes BTF that the
        // kernel refuses.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
        // Macros run on the host, and nobody debugs them.
        .env("CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_DEBUG", "false")
        // Flags meant for the host's programs would replace the ones above.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

/// Copies `from` over `to` unless they are alike, so that cargo sees a change only when there is
/// one.
fn replace_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(to, new).with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finished_programs_are_taken_from_what_cargo_says() {
        let program = r#"{"reason":"compiler-artifact","target":{"name":"da-server","kind":["bin"]},
            "executable":"/target/debug/da-server","fresh":true}"#;
        let expected = ("da-server".to_owned(), PathBuf::from("/target/debug/da-server"));
        assert_eq!(built_program(program), Some(expected));
        for other in [
            r#"{"reason":"compiler-artifact","target":{"name":"bytes"},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "",
        ] {
            assert_eq!(built_program(other), None, "{other}");
        }
    }

    /// As cargo's own plan of the build has it, which takes an unstable flag.
    #[test]
    fn a_release_is_the_server_alone() {
        let plan = |arguments: &Arguments| {
            let mut command = cargo("build");
            // Elsewhere it would build what is there.
            command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
            command.args(["--unit-graph", "-Zunstable-options"]).env("RUSTC_BOOTSTRAP", "1");
            let said = run_and_read(command.args(arguments.of_cargo())).unwrap();
            let plan: serde_json::Value = serde_json::from_str(&said).unwrap();
            let units = plan["units"].as_array().unwrap().clone();
            let roots = plan["roots"].as_array().unwrap().iter();
            let root = |at: &serde_json::Value| units[at.as_u64().unwrap() as usize].clone();
            roots.map(root).collect::<Vec<_>>()
        };
        let programs = |units: &[serde_json::Value]| {
            let targets = units.iter().map(|unit| &unit["target"]);
            let programs = targets.filter(|target| target["kind"][0] == "bin");
            programs.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let release = plan(&Arguments { release: true });
        assert_eq!(programs(&release), ["da-server"]);
        assert!(release.iter().all(|unit| unit["profile"]["name"] == "release"));
        let all = programs(&plan(&Arguments { release: false }));
        assert!(all.len() > 3 && all.contains(&"da-bench".to_owned()), "{all:?}");
    }

    #[test]
    fn an_unchanged_object_is_left_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("built");
        let to = folder.path().join("bpf/da-ebpf.o");
        let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();

        fs::write(&from, "one").unwrap();
        replace_if_changed(&from, &to).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options().write(true).open(&to).unwrap().set_modified(long_ago).unwrap();
        replace_if_changed(&from, &to).unwrap();
        assert_eq!(written(&to), long_ago);

        fs::write(&from, "two").unwrap();
        replace_if_changed(&from, &to).unwrap();
        assert!(written(&to) > long_ago);
        assert_eq!(fs::read_to_string(&to).unwrap(), "two");
    }
}
