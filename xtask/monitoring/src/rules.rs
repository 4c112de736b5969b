//! The rules of `deploy/prometheus/rules` as the Prometheus operator takes them: one resource with
//! every group of every file but one.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const HEAD: &str = "\
# Made of deploy/prometheus/rules by `cargo xtask rules`: change those, not this.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: digital-actors
spec:
  groups:
";

/// The file about Prometheus and Alertmanager themselves: those that an operator runs have rules of its own.
pub const OF_MONITORS: &str = "monitoring.yml";

/// The line that the groups of a file come after.
const GROUPS: &str = "\ngroups:\n";

/// The resource made of the rules in the folder `deploy`.
///
/// # Errors
/// A file can't be read, or has no line `groups:`.
pub fn resource(deploy: &Path) -> Result<String> {
    let mut resource = HEAD.to_owned();
    for file in files(&deploy.join("prometheus/rules"))? {
        if file.ends_with(OF_MONITORS) {
            continue;
        }
        let shown = file.display();
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {shown}"))?;
        let text = format!("\n{text}");
        let (_, groups) =
            text.split_once(GROUPS).with_context(|| format!("{shown} has no line \"groups:\""))?;
        for line in groups.lines() {
            let indented = if line.is_empty() { String::new() } else { format!("  {line}") };
            writeln!(resource, "{indented}")?;
        }
    }
    Ok(resource)
}

/// Where that resource is kept in the folder `deploy`.
pub fn place(deploy: &Path) -> PathBuf {
    deploy.join("kubernetes/monitoring/rules.yaml")
}

/// Writes the resource to its place.
///
/// # Errors
/// As [`resource`] says, or it can't be written.
pub fn write(deploy: &Path) -> Result<()> {
    let place = place(deploy);
    fs::write(&place, resource(deploy)?)
        .with_context(|| format!("cannot write {}", place.display()))
}

/// The YAML files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    Ok(files)
}
