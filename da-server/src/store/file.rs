//! The file of a SQLite database, as it was opened, to be told from what is at its path later.
//!
//! It is only looked at and never opened here: whoever closes a file, closes with it the locks that
//! SQLite holds on it in the same process.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Access, access};

/// A database file that is open.
#[derive(Debug, Clone)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// The same without symbolic links: beside this one SQLite has the log.
    resolved: PathBuf,
    identity: Identity,
    /// Of the log that SQLite writes to first, if it writes one.
    log: Option<Identity>,
}

/// What tells a file from what takes its place. Nobody else has it as long as the file is open, deleted
/// or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let found = path.metadata()?;
        Ok(Self { device: found.dev(), inode: found.ino() })
    }
}

/// What became of a file that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// There is nothing at its path.
    Deleted,
    /// There is another one.
    Replaced,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "the database file was deleted or moved",
            Self::Replaced => "the database file was replaced by another",
        })
    }
}

impl DatabaseFile {
    /// The file at `path`, which is there.
    ///
    /// # Errors
    /// It can't be looked at.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let resolved = path.canonicalize()?;
        let log = Identity::of(&with_ending(&resolved, LOG)).ok();
        Ok(Self { path: path.to_owned(), identity: Identity::of(path)?, resolved, log })
    }

    /// Whether it is not at its path any more. What can't be found out is not.
    pub(super) fn lost(&self) -> Option<Lost> {
        match Identity::of(&self.path) {
            Ok(found) if found == self.identity => None,
            Ok(_) => Some(Lost::Replaced),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Lost::Deleted),
            Err(_) => None,
        }
    }

    /// Whether the next opening finds what an open connection commits: in this file, or in the log
    /// beside it.
    pub(super) fn is_in_place(&self) -> bool {
        self.lost().is_none() && self.has_its_log()
    }

    /// Whether the log was deleted or replaced, and the file is where it was.
    pub(super) fn has_lost_its_log(&self) -> bool {
        self.lost().is_none() && !self.has_its_log()
    }

    fn has_its_log(&self) -> bool {
        self.log.is_none_or(|log| Identity::of(&self.beside(LOG)).is_ok_and(|found| found == log))
    }

    /// Whether somebody has written to the log that took the place of the one that was open.
    pub(super) fn another_log_is_in_use(&self) -> bool {
        let is_used = |log: fs::Metadata| log.len() > 0;
        self.has_lost_its_log() && self.beside(LOG).metadata().is_ok_and(is_used)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        with_ending(&self.resolved, ending)
    }

    /// Renames the log at its path, and the index of that log, so that no other file is opened beside
    /// them: SQLite would write what is in them into that one, or, into an empty one, delete them.
    /// Returns the log's new name; `None` if there was none.
    ///
    /// # Errors
    /// One of them is still there.
    pub(super) fn set_log_aside(&self) -> io::Result<Option<PathBuf>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let aside = |ending| {
            let name = self.beside(ending);
            let aside = with_ending(&name, &format!(".lost-{}", now.as_millis()));
            match fs::rename(&name, &aside) {
                Ok(()) => Ok(Some(aside)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        let log = aside(LOG)?;
        aside(INDEX)?;
        Ok(log)
    }

    /// Whether its mode or its file system forbids this process to write to it.
    pub(super) fn is_read_only(&self) -> bool {
        access(&self.path, Access::WRITE_OK).is_err()
    }
}

/// What SQLite adds to a file's name for its log, and for the index of that log.
const LOG: &str = "-wal";
const INDEX: &str = "-shm";

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_what_took_its_place() {
        let folder = tempfile::tempdir().expect("folder");
        let [path, other] = ["a.sqlite", "b.sqlite"].map(|name| folder.path().join(name));
        fs::write(&path, "a").expect("written");
        fs::write(&other, "a").expect("written");
        // As a connection has it, so that its number is nobody else's.
        let _open = fs::File::open(&path).expect("open");
        let file = DatabaseFile::at(&path).expect("there");
        assert_eq!(file.lost(), None);
        fs::rename(&path, folder.path().join("c.sqlite")).expect("moved");
        assert_eq!(file.lost(), Some(Lost::Deleted));
        fs::rename(&other, &path).expect("moved");
        assert_eq!(file.lost(), Some(Lost::Replaced));
        fs::rename(folder.path().join("c.sqlite"), &path).expect("moved back");
        assert_eq!(file.lost(), None);
    }

    #[test]
    fn a_log_that_was_deleted_has_nothing_of_what_was_committed() {
        let folder = tempfile::tempdir().expect("folder");
        let [path, log] = ["a.sqlite", "a.sqlite-wal"].map(|name| folder.path().join(name));
        fs::write(&path, "a").expect("written");
        assert!(DatabaseFile::at(&path).expect("there").is_in_place(), "it has none");
        fs::write(&log, "a").expect("written");
        // As a connection has it, so that its number is nobody else's.
        let _open = fs::File::open(&log).expect("open");
        let file = DatabaseFile::at(&path).expect("there");
        assert!(file.is_in_place());
        fs::remove_file(&log).expect("deleted");
        assert!(!file.is_in_place());
        fs::write(&log, "a").expect("made anew");
        assert!(!file.is_in_place(), "by whoever it is");
        assert!(file.has_lost_its_log() && file.another_log_is_in_use());
        fs::write(&log, "").expect("emptied");
        assert!(file.has_lost_its_log() && !file.another_log_is_in_use());
    }

    #[test]
    fn the_log_is_beside_the_file_that_a_link_leads_to() {
        let folder = tempfile::tempdir().expect("folder");
        let [path, log, link] =
            ["a.sqlite", "a.sqlite-wal", "link"].map(|name| folder.path().join(name));
        for file in [&path, &log] {
            fs::write(file, "a").expect("written");
        }
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        let file = DatabaseFile::at(&link).expect("there");
        assert!(file.is_in_place());
        fs::remove_file(&log).expect("deleted");
        assert!(file.has_lost_its_log());
    }
}
