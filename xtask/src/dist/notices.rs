//! Whose libraries are inside the program, and on which terms: most licences ask to be passed on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::tree::Tree;
use crate::command::{cargo, run_and_read};

/// What is shipped in compiled form.
const SHIPPED: [&str; 2] = ["da-server", "da-ebpf"];
/// How files with terms begin, in capitals.
const TERMS: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// `cargo metadata`, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
    /// `None` for those of this workspace.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// `None` for what is linked, else `build` or `dev`.
    kind: Option<String>,
}

/// Writes the terms of everything that is linked into the program as the file `place`.
pub fn write(tree: &Tree, place: &str) -> Result<()> {
    let target = run_and_read(std::process::Command::new("rustc").args(["--print", "host-tuple"]))?;
    let text = run_and_read(
        cargo("metadata")
            .args(["--locked", "--format-version", "1", "--filter-platform"])
            .arg(target.trim()),
    )?;
    let metadata: Metadata =
        serde_json::from_str(&text).context("cargo metadata is not understood")?;
    tree.file(place, 0o644, notices(&metadata.linked()?)?)
}

impl Metadata {
    /// The packages of others that [`SHIPPED`] link, by name and version.
    fn linked(&self) -> Result<Vec<&Package>> {
        let packages: BTreeMap<_, _> =
            self.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let nodes: BTreeMap<_, _> =
            self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut reached = BTreeSet::new();
        let ours = |package: &&Package| {
            package.source.is_none() && SHIPPED.contains(&package.name.as_str())
        };
        let mut ahead: Vec<_> =
            self.packages.iter().filter(ours).map(|package| package.id.as_str()).collect();
        while let Some(id) = ahead.pop() {
            if reached.insert(id) {
                let node = nodes.get(id).with_context(|| format!("{id} is not resolved"))?;
                ahead.extend(node.linked());
            }
        }
        let mut linked: Vec<_> = reached
            .into_iter()
            .filter_map(|id| packages.get(id).copied())
            .filter(|package| package.source.is_some())
            .collect();
        linked.sort_by_key(|package| (&package.name, &package.version));
        Ok(linked)
    }
}

impl Node {
    fn linked(&self) -> impl Iterator<Item = &str> {
        let linked =
            |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
        self.deps.iter().filter(linked).map(|dependency| dependency.pkg.as_str())
    }
}

/// A list of `packages`, then each text of terms once, with those that carry it.
fn notices(packages: &[&Package]) -> Result<String> {
    let mut text =
        "da-server is linked with the libraries below, and with Rust's standard library \
                    (MIT or Apache-2.0).\n\n"
            .to_owned();
    let mut terms: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        let license = package.license.as_deref().unwrap_or("see its terms below");
        let repository = package.repository.as_deref().unwrap_or_default();
        writeln!(text, "{name}: {license} {repository}")?;
        let folder = package.manifest_path.parent().context("a manifest without a folder")?;
        for term in terms_in(folder)? {
            terms.entry(term).or_default().push(name.clone());
        }
    }
    for (term, names) in terms {
        writeln!(text, "\n{}\n{}\n\n{term}", "=".repeat(80), names.join(", "))?;
    }
    Ok(text)
}

/// The files of a package that hold its terms.
fn terms_in(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if path.is_file() && TERMS.iter().any(|beginning| name.starts_with(beginning)) {
            found.push(String::from_utf8_lossy(&fs::read(&path)?).trim().to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(dev_only: &str) -> Metadata {
        let package = |name: &str, source: &str| {
            format!(
                r#"{{"id":"{name}","name":"{name}","version":"1.0.0","license":"MIT",
                    "repository":null,"manifest_path":"/{name}/Cargo.toml","source":{source}}}"#
            )
        };
        let text = format!(
            r#"{{"packages":[{},{},{},{}],"resolve":{{"nodes":[
                {{"id":"da-server","deps":[{{"pkg":"b","dep_kinds":[{{"kind":null}},{{"kind":"dev"}}]}},
                                           {{"pkg":"c","dep_kinds":[{{"kind":"{dev_only}"}}]}}]}},
                {{"id":"b","deps":[{{"pkg":"a","dep_kinds":[{{"kind":null}}]}}]}},
                {{"id":"c","deps":[]}},{{"id":"a","deps":[]}}]}}}}"#,
            package("da-server", "null"),
            package("b", "\"registry\""),
            package("c", "\"registry\""),
            package("a", "\"registry\""),
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_is_linked_is_named_and_what_only_builds_or_tests_is_not() {
        for kind in ["dev", "build"] {
            let metadata = metadata(kind);
            let linked = metadata.linked().unwrap();
            let names: Vec<_> = linked.iter().map(|package| package.name.as_str()).collect();
            assert_eq!(names, ["a", "b"]);
        }
    }

    #[test]
    fn a_text_that_several_share_is_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let package = |name: &str, file: &str, terms: &str| {
            let place = folder.path().join(name);
            fs::create_dir(&place).unwrap();
            fs::write(place.join(file), terms).unwrap();
            Package {
                id: name.to_owned(),
                name: name.to_owned(),
                version: "1.0.0".to_owned(),
                license: Some("MIT".to_owned()),
                repository: None,
                manifest_path: place.join("Cargo.toml"),
                source: Some("registry".to_owned()),
            }
        };
        let packages = [
            package("a", "LICENSE-MIT", "be kind\n"),
            package("b", "license.txt", "be kind"),
            package("c", "NOTICE", "be good"),
        ];
        let text = notices(&packages.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(text.matches("be kind").count(), 1);
        assert!(text.contains("a 1.0.0, b 1.0.0\n\nbe kind"), "{text}");
        assert!(text.contains("c 1.0.0\n\nbe good"), "{text}");
    }
}
