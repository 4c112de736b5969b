//! The calls of the last while in a file, so that an incident is there when somebody asks for it.
//!
//! One call a line, as `/api/calls/{id}` shows it. When the file has half of its room it is renamed to `FILE.1`, in
//! place of the one that was, and begun anew: so it is never more than its room, and the latest calls are there that
//! fit into half of it.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// For its owner alone: it tells whom this host talks to.
const MODE: u32 = 0o600;

/// What could not be done with a file.
#[derive(Debug, thiserror::Error)]
#[error("can't {doing} {}: {why}", path.display())]
pub struct FileError {
    /// A verb.
    pub doing: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the operating system says.
    pub why: io::Error,
}

impl FileError {
    /// For `map_err`.
    pub(super) fn when(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |why| Self { doing, path, why }
    }
}

/// Where the file goes that is full.
pub(super) fn older(path: &Path) -> PathBuf {
    let mut older = OsString::from(path);
    older.push(".1");
    older.into()
}

/// The file that is written to.
#[derive(Debug)]
pub struct CallFile {
    path: PathBuf,
    half_bytes: u64,
    opened: Option<Opened>,
}

/// The file while it is open. It is locked: another process that writes it would rename it.
#[derive(Debug)]
struct Opened {
    file: File,
    inode: (u64, u64),
    /// It ends in the middle of a line.
    is_cut: bool,
}

fn inode(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl CallFile {
    /// The one at `path`, which with the one before it may have so many bytes. It is not opened yet.
    pub fn new(path: PathBuf, max_bytes: u64) -> Self {
        Self { path, half_bytes: max_bytes / 2, opened: None }
    }

    /// Writes one call, as JSON, behind the others. After an error the next one is tried again.
    ///
    /// # Errors
    /// It could not be written, or not all of it: the disk is full, another process writes the file, or it can't be
    /// opened or renamed.
    pub fn write(&mut self, call: &str) -> Result<(), FileError> {
        let (mut opened, bytes) = self.take()?;
        if bytes > 0 && bytes + call.len() as u64 + 2 > self.half_bytes {
            let renamed = fs::rename(&self.path, older(&self.path));
            renamed.map_err(FileError::when("rename", &self.path))?;
            (opened, _) = self.take()?;
        }
        let written = opened.append(call).map_err(FileError::when("write", &self.path));
        self.opened = Some(opened);
        written
    }

    /// Opens the file, unless it is open.
    ///
    /// # Errors
    /// It can't be opened, is no regular file, or another process writes it.
    pub fn open(&mut self) -> Result<(), FileError> {
        self.opened = Some(self.take()?.0);
        Ok(())
    }

    /// The open file with its bytes: opened anew unless it is still the one at its path, for somebody may have taken
    /// it away.
    fn take(&mut self) -> Result<(Opened, u64), FileError> {
        let there = fs::metadata(&self.path).ok();
        if let Some(there) = there
            && let Some(opened) = self.opened.take_if(|opened| opened.inode == inode(&there))
        {
            return Ok((opened, there.len()));
        }
        self.opened = None;
        // Where a link leads is renamed, and not the link.
        self.path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let opened = open(&self.path).map_err(FileError::when("open", &self.path))?;
        let bytes = opened.file.metadata().map_err(FileError::when("look at", &self.path))?.len();
        // It may be of a time in which there was more room.
        let older = older(&self.path);
        if fs::metadata(&older).is_ok_and(|older| older.len() > self.half_bytes) {
            fs::remove_file(&older).map_err(FileError::when("remove", &older))?;
        }
        Ok((opened, bytes))
    }
}

impl Opened {
    fn append(&mut self, call: &str) -> io::Result<()> {
        let line = if self.is_cut { format!("\n{call}\n") } else { format!("{call}\n") };
        self.is_cut = true;
        self.file.write_all(line.as_bytes())?;
        self.is_cut = false;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Opened> {
    let file = File::options().read(true).append(true).create(true).mode(MODE).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::other("another process writes it"),
        TryLockError::Error(error) => error,
    })?;
    // Somebody else's stays as it is.
    let _ = file.set_permissions(Permissions::from_mode(MODE));
    let mut last = [b'\n'];
    if let Some(at) = metadata.len().checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    Ok(Opened { file, inode: inode(&metadata), is_cut: last != [b'\n'] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::kept::tests::ids;
    use crate::calls::sample_call;

    fn json(id: u64) -> String {
        serde_json::to_string(&sample_call(id, 100)).expect("JSON")
    }

    /// A file in a folder of its own, with room for so many calls.
    fn file(calls: u64) -> (tempfile::TempDir, PathBuf, CallFile) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.jsonl");
        let file = CallFile::new(path.clone(), calls * (json(1).len() as u64 + 4));
        (folder, path, file)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn the_latest_are_kept_in_no_more_than_their_room() {
        let (folder, path, mut file) = file(20);
        for id in 1..=95 {
            file.write(&json(id)).expect("written");
            let bytes: u64 = fs::read_dir(folder.path())
                .expect("listed")
                .map(|file| file.expect("a file").metadata().expect("its size").len())
                .sum();
            assert!(bytes <= 2 * file.half_bytes, "{bytes} bytes after {id}");
        }
        let ids = ids(&path);
        assert!(ids.len() >= 10 && ids.len() <= 20, "{ids:?}");
        assert!(ids.iter().copied().eq(96 - ids.len() as u64..=95), "{ids:?}");
        assert_eq!(mode(&path), MODE);
    }

    #[test]
    fn a_line_that_was_cut_costs_itself_alone() {
        let (_folder, path, mut file) = file(20);
        fs::write(&path, format!("{}\n{}", json(1), &json(2)[..50])).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("permissions");
        file.write(&json(3)).expect("written");
        assert_eq!((ids(&path), mode(&path)), (vec![1, 3], MODE));
        // The disk was full in the middle of a line: this descriptor takes nothing.
        file.opened.as_mut().expect("open").file = File::open(&path).expect("opened");
        let error = file.write(&json(4)).expect_err("refused").to_string();
        assert!(error.starts_with("can't write /") && error.contains("calls.jsonl: "), "{error}");
        assert!(file.opened.as_ref().is_some_and(|opened| opened.is_cut));
    }

    #[test]
    fn it_goes_on_once_it_can_be_renamed_and_where_it_was_taken_away() {
        let (_folder, path, mut file) = file(2);
        file.write(&json(1)).expect("written");
        // It is full, and can't be renamed over a folder that has something in it.
        fs::create_dir_all(older(&path).join("in-the-way")).expect("made");
        assert!(file.write(&json(2)).expect_err("refused").to_string().contains("can't rename"));
        fs::remove_dir_all(older(&path)).expect("removed");
        file.write(&json(3)).expect("written");
        assert_eq!(ids(&path), [1, 3]);
        fs::remove_file(&path).expect("removed");
        file.write(&json(4)).expect("written");
        assert_eq!(ids(&path), [1, 4]);
        fs::write(&path, "").expect("emptied by somebody else");
        file.write(&json(5)).expect("written");
        assert_eq!(ids(&path), [1, 5], "there is room, so nothing was renamed");
    }

    #[test]
    fn one_process_writes_it_and_what_is_no_file_is_refused() {
        let (folder, path, mut file) = file(20);
        file.write(&json(1)).expect("written");
        let mut other = CallFile::new(path.clone(), 1 << 20);
        assert!(
            other.write(&json(2)).expect_err("refused").to_string().contains("another process")
        );
        drop(file);
        other.write(&json(3)).expect("written once the first has gone");
        assert_eq!(ids(&path), [1, 3]);
        for no_file in [Path::new("/dev/null"), folder.path()] {
            CallFile::new(no_file.to_owned(), 1 << 20).open().expect_err("refused");
        }
    }

    #[test]
    fn a_link_stays_and_what_has_become_too_much_goes() {
        let (folder, path, mut file) = file(20);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        (1..=15).for_each(|id| file.write(&json(id)).expect("written"));
        drop(file);
        let mut smaller = CallFile::new(link.clone(), 4 * json(1).len() as u64);
        smaller.write(&json(16)).expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        smaller.write(&json(17)).expect("written");
        assert!(ids(&path).ends_with(&[16, 17]), "{:?}", ids(&path));
        assert!(!older(&link).exists(), "what the link leads to was renamed");
    }
}
