//! The test programs of the workspace, as cargo builds them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command::{cargo, run_and_read};

/// A compiled test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The package and, where it is not the package's own unit tests, the name of the test.
    pub name: String,
    /// The package that it belongs to.
    pub package: String,
    /// Where that package is: tests run in this folder.
    pub folder: PathBuf,
    /// The program.
    pub path: PathBuf,
}

/// Builds the test programs that these arguments select; without any, every one.
///
/// # Errors
/// If cargo can't; its own words are on standard error.
pub fn build(selection: &[&str]) -> Result<Vec<Program>> {
    let mut command = cargo("test");
    command.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    command.args(selection);
    run_and_read(&mut command)?.lines().filter_map(|line| program(line).transpose()).collect()
}

/// The program that a message of cargo's is about, if it is about one.
fn program(message: &str) -> Result<Option<Program>> {
    #[derive(Deserialize)]
    struct Artifact {
        package_id: String,
        manifest_path: PathBuf,
        target: Target,
        profile: Profile,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Profile {
        test: bool,
    }
    // Messages about other things lack these fields.
    let Ok(artifact) = serde_json::from_str::<Artifact>(message) else { return Ok(None) };
    let (true, Some(path)) = (artifact.profile.test, artifact.executable) else { return Ok(None) };
    let folder = artifact.manifest_path.parent().context("a manifest without a folder")?.to_owned();
    let package = package_name(&artifact.package_id).to_owned();
    let is_of_the_package = artifact.target.kind.iter().all(|kind| kind != "test");
    let is_a_program = artifact.target.kind.iter().any(|kind| kind == "bin");
    let name = match (is_of_the_package, is_a_program) {
        (true, false) => package.clone(),
        (true, true) => format!("{package} (program)"),
        (false, _) => format!("{package} {}", artifact.target.name),
    };
    Ok(Some(Program { name, package, folder, path }))
}

/// The name in an identifier like `path+file:///x/da-server#0.1.0` or `…/xtask/standin#da-standin@0.1.0`.
fn package_name(id: &str) -> &str {
    let (source, version) = id.rsplit_once('#').unwrap_or((id, ""));
    match version.split_once('@') {
        Some((name, _)) => name,
        None => source.rsplit('/').next().unwrap_or(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, name: &str, test: bool) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"path+file:///r/xtask/standin#da-standin@0.1.0",
            "manifest_path":"/r/xtask/standin/Cargo.toml","target":{{"kind":["{kind}"],"name":"{name}"}},
            "profile":{{"test":{test}}},"executable":"/r/target/debug/deps/{name}-1"}}"#
        )
    }

    #[test]
    fn a_program_has_its_packages_name_and_its_own() {
        let named = |kind, name| program(&message(kind, name, true)).unwrap().unwrap();
        assert_eq!(named("lib", "da_standin").name, "da-standin");
        assert_eq!(named("bin", "da-standin").name, "da-standin (program)");
        let test = named("test", "standin");
        assert_eq!(test.name, "da-standin standin");
        assert_eq!(test.folder, PathBuf::from("/r/xtask/standin"));
        assert_eq!(test.path, PathBuf::from("/r/target/debug/deps/standin-1"));
        assert_eq!(package_name("path+file:///r/da-server#0.1.0"), "da-server");
    }

    #[test]
    fn what_is_no_test_program_is_left_out() {
        assert_eq!(program(&message("bin", "da-standin", false)).unwrap(), None);
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#).unwrap(), None);
    }
}
