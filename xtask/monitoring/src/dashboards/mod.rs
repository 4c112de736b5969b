//! The Grafana dashboards: read from `dashboards/source`, written as Grafana takes them.

mod board;
mod layout;
mod panel;
pub mod shipped;
mod shorthand;
mod source;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use source::Source;

/// Each dashboard's file in `dashboards`, by its name, as it is to be.
///
/// # Errors
/// If the source is missing or not understood: what, and in which file and panel.
pub fn generate(dashboards: &Path) -> Result<BTreeMap<String, String>> {
    let source = Source::read(&dashboards.join("source"))?;
    let file = |(name, written): (&String, &source::Board)| {
        let json = board::board(written, &source.common)
            .with_context(|| format!("in the dashboard {name}"))?;
        Ok((format!("{name}.json"), format!("{json:#}\n")))
    };
    source.boards.iter().map(file).collect()
}

/// Writes those files, and takes away those of dashboards that are no more.
///
/// # Errors
/// Like [`generate`], or if a file can't be written.
pub fn write(dashboards: &Path) -> Result<()> {
    let files = generate(dashboards)?;
    for stale in present(dashboards)?.keys().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(dashboards.join(stale))
            .with_context(|| format!("cannot remove dashboards/{stale}"))?;
    }
    for (name, text) in files {
        fs::write(dashboards.join(&name), text)
            .with_context(|| format!("cannot write dashboards/{name}"))?;
    }
    Ok(())
}

/// The dashboards that are there, as they are.
///
/// # Errors
/// If one can't be read.
pub fn present(dashboards: &Path) -> Result<BTreeMap<String, String>> {
    let entries = fs::read_dir(dashboards)
        .with_context(|| format!("cannot read {}", dashboards.display()))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, text);
        }
    }
    Ok(files)
}
