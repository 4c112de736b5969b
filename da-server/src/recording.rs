//! A file of what the two halves of every call say, entry by entry, to be shown again by `replay`.
//!
//! One JSON object a line: `at_ns` (`CLOCK_MONOTONIC`) and one entry, which belongs to the module that
//! writes it: `Recorded` of `kernel`, or `call` with a `CallReport` of `provider`. The first bytes of a connection are in it as they are in
//! the ring buffer, whole ClientHellos and unlisted hosts included: names and addresses of whom this host
//! talks to, and no content. Not in it: connections older than the start, and what is read from records after
//! a silence.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::monotonic_ns;

/// Where a recording ends by itself, bytes: half an hour of many calls.
const MAX_BYTES: u64 = 256 << 20;

/// An entry and its time.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line<T> {
    /// When it was written, ns of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// What was written.
    #[serde(flatten)]
    pub entry: T,
}

/// Writes a recording; clones write the same one. Each entry is handed to the kernel at once, by whoever has it,
/// so that the file is whole however the program ends; a disk that is slow beyond the page cache slows the view
/// down. Writing ends with the first error, which is logged.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Mutex<Output>>);

#[derive(Debug)]
struct Output {
    file: Option<File>,
    written_bytes: u64,
}

impl Recorder {
    /// Into a new file, for this user alone; an older one of that name is replaced.
    ///
    /// # Errors
    /// It can't be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let file = Some(file);
        Ok(Self(Arc::new(Mutex::new(Output { file, written_bytes: 0 }))))
    }

    /// Writes one entry, which happened just now.
    pub fn write(&self, entry: &impl Serialize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(entry);
    }
}

/// Two are equal if they write the same file.
impl PartialEq for Recorder {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Recorder {}

impl Output {
    fn write(&mut self, entry: &impl Serialize) {
        let Some(file) = &mut self.file else { return };
        match write_line(file, entry) {
            Ok(bytes) => self.written_bytes += bytes,
            Err(error) => {
                tracing::error!(%error, "the recording ends here: its file can't be written");
                self.file = None;
            }
        }
        if self.written_bytes > MAX_BYTES {
            tracing::warn!(
                bytes = self.written_bytes,
                "the recording ends here: it is long enough"
            );
            self.file = None;
        }
    }
}

fn write_line(file: &mut impl Write, entry: &impl Serialize) -> io::Result<u64> {
    let mut line = serde_json::to_vec(&Line { at_ns: monotonic_ns(), entry })?;
    line.push(b'\n');
    file.write_all(&line)?;
    Ok(line.len() as u64)
}

/// Bytes as base64, for `#[serde(with)]`.
pub mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    /// As text.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// From text.
    ///
    /// # Errors
    /// It is no base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Entry {
        Bytes(#[serde(with = "base64_bytes")] Vec<u8>),
    }

    #[test]
    fn what_is_written_is_read_line_by_line() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let recorder = Recorder::create(file.path()).expect("created");
        recorder.write(&Entry::Bytes(vec![0, 255]));
        recorder.clone().write(&Entry::Bytes(Vec::new()));
        drop(recorder);
        let text = std::fs::read_to_string(file.path()).expect("read");
        let fresh = file.path().with_extension("fresh");
        drop(Recorder::create(&fresh).expect("created"));
        let mode = std::fs::metadata(&fresh).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it tells whom this host talks to");
        std::fs::remove_file(&fresh).expect("removed");
        let lines: Vec<Line<Entry>> =
            text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
        assert_eq!(lines[0].entry, Entry::Bytes(vec![0, 255]));
        assert!(lines.len() == 2 && lines[0].at_ns <= lines[1].at_ns);
    }

    #[test]
    fn a_full_disk_ends_the_recording_and_nothing_else() {
        let full = Path::new("/dev/full");
        let recorder = Recorder::create(full).expect("opened");
        recorder.write(&Entry::Bytes(vec![1; 16]));
        assert!(recorder.0.lock().expect("not poisoned").file.is_none());
    }
}
