//! Reads what was kept of calls in a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Call;
use super::file::{FileError, older};

/// No call takes so much.
const MAX_LINE_BYTES: u64 = 4 << 20;

/// Hands all calls of `path` and, before them, of the one that was renamed to `each`, in the order in which they
/// ended; returns how many lines are no call: cut off, or of another version.
///
/// # Errors
/// A file can't be read, or there is none.
pub fn read_calls(path: &Path, mut each: impl FnMut(Call)) -> Result<u64, FileError> {
    let older = older(path);
    // The newer one first: if it is renamed in this moment, it is there twice, and not missing.
    let newer_file = opened(path)?;
    let older_file = opened(&older)?;
    if newer_file.is_none() && older_file.is_none() {
        return Err(FileError::when("open", path)(io::Error::from_raw_os_error(libc::ENOENT)));
    }
    let inode = |file: &Option<File>| {
        let metadata = file.as_ref()?.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let was_renamed = inode(&newer_file) == inode(&older_file);
    let mut unreadable = 0;
    for (file, path) in [(older_file.filter(|_| !was_renamed), older.as_path()), (newer_file, path)]
    {
        if let Some(file) = file {
            unreadable += read(file, &mut each).map_err(FileError::when("read", path))?;
        }
    }
    Ok(unreadable)
}

fn opened(path: &Path) -> Result<Option<File>, FileError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::when("open", path)(error)),
    }
}

fn read(file: File, each: &mut impl FnMut(Call)) -> io::Result<u64> {
    let (mut reader, mut line, mut unreadable) = (BufReader::new(file), Vec::new(), 0);
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(unreadable);
        }
        if line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
            reader.skip_until(b'\n')?;
        }
        match serde_json::from_slice(&line) {
            Ok(call) => each(call),
            Err(_) if line == b"\n" => {}
            Err(_) => unreadable += 1,
        }
    }
}

/// Gives calls numbers of which no two are the same: a server that was started again has numbered from 1. The later
/// ones keep theirs, which the log of the latest start has.
pub fn number_anew(calls: &mut [Call]) {
    let mut taken = std::collections::HashSet::new();
    let mut next = calls.iter().map(|call| call.id).max().unwrap_or(0);
    for call in calls.iter_mut().rev() {
        if !taken.insert(call.id) {
            next = next.saturating_add(1);
            call.id = next;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;
    use crate::calls::sample_call;

    /// The numbers of the calls in a file.
    pub fn ids(path: &Path) -> Vec<u64> {
        let mut ids = Vec::new();
        read_calls(path, |call| ids.push(call.id)).expect("read");
        ids
    }

    #[test]
    fn either_file_will_do_and_a_line_without_end_is_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.jsonl");
        let error = read_calls(&path, |_| ()).expect_err("there is none").to_string();
        assert!(error.contains("can't open") && error.contains("calls.jsonl"), "{error}");
        let json = serde_json::to_string(&sample_call(7, 1)).expect("JSON");
        fs::write(older(&path), format!("{json}\n")).expect("written");
        assert_eq!(ids(&path), [7]);
        fs::write(&path, "").expect("written");
        assert_eq!(ids(&path), [7]);
        let long = "x".repeat(2 * MAX_LINE_BYTES as usize);
        fs::write(&path, format!("{long}\n\n{json}\n{}", &json[..9])).expect("written");
        let mut calls = 0;
        assert_eq!(read_calls(&path, |_| calls += 1).expect("read"), 2);
        assert_eq!(calls, 2);
        // It is renamed after it was opened: it has both names for a moment.
        fs::hard_link(&path, folder.path().join("same.1")).expect("linked");
        fs::rename(folder.path().join("same.1"), older(&path)).expect("renamed");
        assert_eq!(ids(&path), [7]);
    }

    #[test]
    fn numbers_are_given_once_and_the_latest_keep_theirs() {
        let mut calls: Vec<_> = [1, 2, 1, 3].map(|id| sample_call(id, 1)).to_vec();
        number_anew(&mut calls);
        assert!(calls.iter().map(|call| call.id).eq([4, 2, 1, 3]));
    }
}
