//! Connections that are older than the programs, out of the iterator's file.

use std::fs::File;
use std::io::{self, Read};
use std::mem::size_of;

use da_ebpf_common::existing::Existing;
use zerocopy::FromBytes;

/// Connections asked for at a time. Those that are nobody's are forgotten before the next are asked
/// for, so a host with many does not fill the map; and the kernel's own buffer, eight pages, is
/// never full.
const BATCH: usize = 128;

/// The iterator's file. Reading it runs the program once for every open file of every process of
/// this PID namespace, and takes no privilege.
pub struct ExistingConnections(File);

impl ExistingConnections {
    /// Over a file that has not been read yet.
    pub fn new(iterator: File) -> Self {
        Self(iterator)
    }

    /// The next few; none when all have been found.
    ///
    /// # Errors
    /// The kernel failed to go on.
    pub fn next_batch(&mut self) -> io::Result<Vec<Existing>> {
        let mut buffer = [0; BATCH * size_of::<Existing>()];
        let bytes = loop {
            match self.0.read(&mut buffer) {
                // A million files without a connection among them: the kernel takes a breath.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let entries = buffer[..bytes].chunks_exact(size_of::<Existing>());
        Ok(entries.filter_map(|entry| Existing::read_from_bytes(entry).ok()).collect())
    }
}
