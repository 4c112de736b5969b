//! Connections that are older than the programs, out of the iterator's file.

use std::fs::File;
use std::io::{self, Read};
use std::mem::size_of;

use da_ebpf_common::existing::Existing;
use zerocopy::FromBytes;

/// Connections asked for at a time, at most: the kernel's own buffer, eight pages, is never full then.
const MAX_BATCH: usize = 128;

/// The iterator's file. Reading it runs the program once for every open file of every process of
/// this PID namespace, and takes no privilege.
pub struct ExistingConnections {
    file: File,
    batch: usize,
}

impl ExistingConnections {
    /// Over a file that has not been read yet. Connections that are nobody's are forgotten before the
    /// next are asked for, so that a host with many does not fill a map of `max_connections`.
    pub fn new(file: File, max_connections: u32) -> Self {
        let batch = usize::try_from(max_connections / 4).unwrap_or(MAX_BATCH);
        Self { file, batch: batch.clamp(1, MAX_BATCH) }
    }

    /// The next few; `None` if there may be more after a breath, and none of them when all have been found.
    ///
    /// # Errors
    /// The kernel failed to go on.
    pub fn next_batch(&mut self) -> io::Result<Option<Vec<Existing>>> {
        let mut buffer = [0; MAX_BATCH * size_of::<Existing>()];
        let buffer = &mut buffer[..self.batch * size_of::<Existing>()];
        let bytes = loop {
            match self.file.read(buffer) {
                // A million files without a connection among them took the kernel a tenth of a second: the
                // reader has other things to do meanwhile.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let entries = buffer[..bytes].chunks_exact(size_of::<Existing>());
        Ok(Some(entries.filter_map(|entry| Existing::read_from_bytes(entry).ok()).collect()))
    }
}
