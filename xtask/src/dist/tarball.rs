//! The tree as a tarball, for every Linux.

use std::env::consts::ARCH;
use std::path::Path;

use anyhow::Result;

use super::tree::Tree;
use super::{Profile, Release, shell};
use crate::command::step;

/// The tarball's name without its ending, and that of the folder inside.
pub fn stem(release: &Release) -> String {
    format!("digital-actors-{}-{ARCH}-linux", release.version)
}

/// Packs `tree` into `output`; returns the file's name. Order, owners and dates are fixed, and gzip
/// adds neither a name nor a date of its own.
pub fn pack(tree: &Tree, release: &Release, output: &Path) -> Result<String> {
    step("pack the tarball");
    let stem = stem(release);
    let name = format!("{stem}.tar.gz");
    debug_assert!(tree.root().ends_with(&stem));
    let script = "tar --create --sort=name --format=gnu --owner=0 --group=0 --numeric-owner \
                  --mtime=@\"$EPOCH\" \"$STEM\" | gzip \"$LEVEL\" --no-name > \"$NAME\"";
    let epoch = release.epoch_seconds.to_string();
    let level = match release.profile {
        Profile::Release => "-9",
        Profile::Dev => "-1",
    };
    let variables = [("EPOCH", epoch.as_str()), ("STEM", &stem), ("LEVEL", level), ("NAME", &name)];
    shell(output, script, &variables)?;
    Ok(name)
}
