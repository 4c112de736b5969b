//! Files that hold secrets.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What everyone on the host may do with a file: read it.
const READABLE_BY_ALL: u32 = 0o004;

/// The text of a file that `setting` names. That everyone on this host can read it is said in the log.
///
/// # Errors
/// It can't be read, or is no text.
pub(crate) fn read_secret(path: &Path, setting: &str) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & READABLE_BY_ALL != 0 {
        let shown = path.display();
        tracing::warn!("{setting} {shown} can be read by everyone on this host: chmod o-r {shown}");
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}
