//! The calls of the last while in a file, so that an incident is there when somebody asks for it.
//!
//! One call a line, as `/api/calls/{id}` shows it. When the file has half of its room it is renamed to `FILE.1`, in
//! place of the one that was, and begun anew: so it is never more than its room, and the latest calls are there that
//! fit into half of it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Call;

/// The file that is written to.
#[derive(Debug)]
pub struct CallFile {
    path: PathBuf,
    half_bytes: u64,
    file: File,
    written_bytes: u64,
    /// It ends in the middle of a line.
    is_cut: bool,
}

impl CallFile {
    /// Goes on behind what is there. A new file is for this user alone.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: PathBuf, max_bytes: u64) -> io::Result<Self> {
        let file = append_to(&path)?;
        let written_bytes = file.metadata()?.len();
        let mut last = [b'\n'];
        if let Some(at) = written_bytes.checked_sub(1) {
            file.read_exact_at(&mut last, at)?;
        }
        let is_cut = last != [b'\n'];
        Ok(Self { path, half_bytes: max_bytes / 2, file, written_bytes, is_cut })
    }

    /// Writes one call, as JSON, behind the others. After an error the next one is tried again.
    ///
    /// # Errors
    /// It could not be written, or not all of it: the disk is full, or the file that is full can't be renamed.
    pub fn write(&mut self, call: &str) -> io::Result<()> {
        let line = if self.is_cut { format!("\n{call}\n") } else { format!("{call}\n") };
        if self.written_bytes > 0 && self.written_bytes + line.len() as u64 > self.half_bytes {
            self.begin_anew()?;
        }
        self.is_cut = true;
        self.file.write_all(line.as_bytes())?;
        self.is_cut = false;
        self.written_bytes += line.len() as u64;
        Ok(())
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        match fs::rename(&self.path, older(&self.path)) {
            // Somebody has taken it away.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = append_to(&self.path)?;
        (self.written_bytes, self.is_cut) = (0, false);
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().read(true).append(true).create(true).mode(0o600).open(path)
}

/// Where the file goes that is full.
fn older(path: &Path) -> PathBuf {
    let mut older = OsString::from(path);
    older.push(".1");
    older.into()
}

/// What such a file has.
#[derive(Debug, Default)]
pub struct Kept {
    /// In the order in which they ended. No two have one number: of those that do, which is so where the server was
    /// started again, the later ones have got others.
    pub calls: Vec<Call>,
    /// Lines that are no call: cut off, or of another version.
    pub unreadable: u64,
}

impl Kept {
    /// Reads `path` and, before it, what was renamed.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut kept = Self::default();
        match File::open(older(path)) {
            Ok(file) => kept.add(file)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        kept.add(File::open(path)?)?;
        kept.number_anew();
        Ok(kept)
    }

    fn add(&mut self, file: File) -> io::Result<()> {
        for line in BufReader::new(file).split(b'\n') {
            match line? {
                line if line.is_empty() => {}
                line => match serde_json::from_slice(&line) {
                    Ok(call) => self.calls.push(call),
                    Err(_) => self.unreadable += 1,
                },
            }
        }
        Ok(())
    }

    fn number_anew(&mut self) {
        let mut taken = std::collections::HashSet::new();
        let mut next = self.calls.iter().map(|call| call.id).max().unwrap_or(0);
        for call in &mut self.calls {
            if !taken.insert(call.id) {
                next = next.saturating_add(1);
                call.id = next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::calls::sample_call;

    fn json(id: u64) -> String {
        serde_json::to_string(&sample_call(id, 100)).expect("JSON")
    }

    fn ids(path: &Path) -> Vec<u64> {
        Kept::read(path).expect("read").calls.iter().map(|call| call.id).collect()
    }

    #[test]
    fn the_latest_are_kept_in_no_more_than_their_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.jsonl");
        let line_bytes = json(1).len() as u64 + 1;
        let room_bytes = 20 * (line_bytes + 2);
        let mut file = CallFile::open(path.clone(), room_bytes).expect("opened");
        for id in 1..=95 {
            file.write(&json(id)).expect("written");
            let bytes: u64 = fs::read_dir(folder.path())
                .expect("listed")
                .map(|file| file.expect("a file").metadata().expect("its size").len())
                .sum();
            assert!(bytes <= room_bytes, "{bytes} of {room_bytes} after {id}");
        }
        let ids = ids(&path);
        assert!(ids.len() >= 10 && ids.len() <= 20, "{ids:?}");
        assert!(ids.iter().copied().eq(96 - ids.len() as u64..=95), "{ids:?}");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it tells whom this host talks to");
    }

    #[test]
    fn a_line_that_was_cut_costs_itself_alone_and_a_number_is_given_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.jsonl");
        let cut = &json(2)[..50];
        fs::write(&path, format!("{}\n{cut}", json(1))).expect("written");
        let mut file = CallFile::open(path.clone(), 1 << 20).expect("opened");
        file.write(&json(1)).expect("written");
        file.write(&json(3)).expect("written");
        let kept = Kept::read(&path).expect("read");
        assert_eq!(kept.unreadable, 1);
        assert_eq!(ids(&path), [1, 4, 3]);
    }

    #[test]
    fn it_goes_on_once_there_is_room_or_the_file_is_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.jsonl");
        let mut file = CallFile::open(path.clone(), 2 * json(1).len() as u64 + 8).expect("opened");
        file.write(&json(1)).expect("written");
        // It is full, and can't be renamed over a folder that has something in it.
        fs::create_dir_all(older(&path).join("in-the-way")).expect("made");
        file.write(&json(2)).expect_err("refused");
        fs::remove_dir_all(older(&path)).expect("removed");
        file.write(&json(3)).expect("written");
        assert_eq!(ids(&path), [1, 3]);
        fs::remove_file(&path).expect("removed");
        file.write(&json(4)).expect("written");
        assert_eq!(ids(&path), [1, 4]);
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut file = CallFile {
            path: "/dev/full".into(),
            half_bytes: 1 << 20,
            file: File::options().write(true).open("/dev/full").expect("opened"),
            written_bytes: 0,
            is_cut: false,
        };
        assert_eq!(file.write("{}").expect_err("full").kind(), ErrorKind::StorageFull);
        assert!(file.is_cut);
    }

    #[test]
    fn without_the_file_there_is_an_error_and_without_the_older_one_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.jsonl");
        assert_eq!(Kept::read(&path).expect_err("not there").kind(), ErrorKind::NotFound);
        fs::write(&path, "").expect("written");
        assert!(Kept::read(&path).expect("read").calls.is_empty());
    }
}
