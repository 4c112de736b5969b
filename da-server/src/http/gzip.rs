//! Compressing what is sent.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// `pieces`, one behind the other, as one gzip member. As fast as may be: an exposition is names and
/// labels said again and again, which any level makes small.
///
/// # Errors
/// None but those of memory.
pub(super) fn gzip(pieces: &[&[u8]]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in pieces {
        encoder.write_all(piece)?;
    }
    encoder.finish()
}
