//! Files as they will lie on the disk of the machine that they are installed on.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder that stands for `/`. Paths inside are given without the slash in front.
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// An empty tree at `root`; what was there is gone.
    pub fn create(root: PathBuf) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(&root)
                .with_context(|| format!("cannot empty {}", root.display()))?;
        }
        let tree = Self { root };
        tree.folder("", 0o755)?;
        Ok(tree)
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Deletes it.
    pub fn remove(self) -> Result<()> {
        Ok(fs::remove_dir_all(self.root)?)
    }

    /// Makes the folder `place` with these permissions, and those above it with the usual ones,
    /// whatever this process's umask is.
    pub fn folder(&self, place: &str, mode: u32) -> Result<()> {
        let path = self.root.join(place);
        if path.is_dir() {
            return Ok(());
        }
        if let Some((above, _)) = place.rsplit_once('/') {
            self.folder(above, 0o755)?;
        }
        fs::create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)))
            .with_context(|| format!("cannot create {}", path.display()))
    }

    /// Writes the file `place`.
    pub fn file(&self, place: &str, mode: u32, content: impl AsRef<[u8]>) -> Result<()> {
        if let Some((folder, _)) = place.rsplit_once('/') {
            self.folder(folder, 0o755)?;
        }
        let path = self.root.join(place);
        fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Copies `from`, for everybody to read.
    pub fn copy(&self, from: &Path, place: &str) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.file(place, 0o644, content)
    }

    /// Copies every file right in the folder `from` whose name ends in `ending`.
    ///
    /// # Errors
    /// If there is none: nothing is packed without its parts.
    pub fn copy_all(&self, from: &Path, ending: &str, place: &str) -> Result<()> {
        let mut copied = 0;
        let entries = fs::read_dir(from);
        for entry in entries.with_context(|| format!("cannot read {}", from.display()))? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(ending) && path.is_file() {
                self.copy(&path, &format!("{place}/{name}"))?;
                copied += 1;
            }
        }
        anyhow::ensure!(copied > 0, "{} has no file *{ending}", from.display());
        Ok(())
    }

    /// Every file of it, sorted.
    pub fn files(&self) -> Result<Vec<String>> {
        files_below(&self.root)
    }

    /// What it takes on a disk, KiB, as Debian's policy counts `Installed-Size`.
    pub fn installed_kib(&self) -> Result<u64> {
        let sizes = self
            .files()?
            .into_iter()
            .map(|file| Ok(fs::symlink_metadata(self.root.join(file))?.len().div_ceil(1024)));
        sizes.sum()
    }
}

/// Every file below `folder`, by its path from there, sorted.
fn files_below(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).with_context(|| format!("cannot read {}", at.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(folder)?;
                files.push(below.to_str().context("a file's name is not UTF-8")?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_what_was_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let tree = Tree::create(place.path().join("root")).unwrap();
        tree.file("usr/bin/program", 0o755, "x").unwrap();
        tree.folder("etc/keys", 0o700).unwrap();
        for (path, expected) in [("usr", 0o755), ("usr/bin/program", 0o755), ("etc/keys", 0o700)] {
            let mode = fs::metadata(tree.root().join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, expected, "{path}");
        }
    }

    #[test]
    fn files_come_sorted_and_old_ones_go() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        Tree::create(root.clone()).unwrap().file("old", 0o644, "").unwrap();
        let tree = Tree::create(root).unwrap();
        for file in ["b", "a/z", "a/b/c"] {
            tree.file(file, 0o644, [0; 1025]).unwrap();
        }
        assert_eq!(tree.files().unwrap(), ["a/b/c", "a/z", "b"]);
        assert_eq!(tree.installed_kib().unwrap(), 6);
    }

    #[test]
    fn a_folder_without_its_files_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a.yml"), "").unwrap();
        let tree = Tree::create(place.path().join("root")).unwrap();
        tree.copy_all(place.path(), ".yml", "rules").unwrap();
        assert_eq!(tree.files().unwrap(), ["rules/a.yml"]);
        assert!(tree.copy_all(place.path(), ".json", "rules").is_err());
    }
}
