//! The programs' `SILENT` map, as the reader uses it: see [`da_ebpf_common::silent`].

use std::fmt;

use aya::maps::{Array, MapData, MapError};
use da_ebpf_common::connection::Connection;
use da_ebpf_common::silent::{ADOPTS, FOLLOWED, REMOVED, followed, most};

/// How many records are those of connections that have sent nothing.
pub struct Silent {
    words: Array<MapData, u64>,
    most: u32,
    removed: u64,
    adopts: bool,
}

impl fmt::Debug for Silent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Silent").field("removed", &self.removed).finish_non_exhaustive()
    }
}

impl Silent {
    /// Takes the map over; of `max_connections` records in all.
    pub fn new(words: Array<MapData, u64>, max_connections: u32) -> Self {
        Self { words, most: most(max_connections), removed: 0, adopts: false }
    }

    /// Whether more than half of their room is taken.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn is_short(&self) -> Result<bool, MapError> {
        let followed = followed(self.words.get(&FOLLOWED, 0)?, self.removed);
        Ok(followed > u64::from(self.most / 2))
    }

    /// A record was removed from here, not by a program.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn removed(&mut self, record: &Connection) -> Result<(), MapError> {
        if record.sent_bytes > 0 {
            return Ok(());
        }
        self.removed += 1;
        self.words.set(REMOVED, self.removed, 0)
    }

    /// From now on the programs look for connections that speak and are not followed.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn adopt_from_now_on(&mut self) -> Result<(), MapError> {
        if !self.adopts {
            self.words.set(ADOPTS, 1, 0)?;
            self.adopts = true;
        }
        Ok(())
    }
}
