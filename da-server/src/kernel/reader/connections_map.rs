//! The programs' `CONNECTIONS` map, as the reader uses it: to make them forget.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::{io, mem};

use aya::maps::{HashMap, IterableMap, MapData, MapError};
use da_ebpf_common::connection::Connection;
use da_ebpf_common::event::ConnectionId;
use zerocopy::FromZeros;

use super::silent::Silent;

/// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`, include/uapi/linux/bpf.h; on hashes since 5.14.
const LOOKUP_AND_DELETE: libc::c_long = 21;
/// Records that are looked at one after the other, at most.
const MAX_LOOKED_AT: usize = 65_536;
/// `BPF_NOEXIST`: insert only.
const NO_EXIST: u64 = 1;

/// `union bpf_attr` of the map element commands.
#[repr(C)]
struct ElementCommand {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// What came of [`ConnectionsMap::forget`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// It is forgotten.
    Yes,
    /// It was gone already.
    Gone,
    /// The kernel refused the call; it may still be there.
    Refused,
    /// Its socket had become another connection's, whose record is back in place; what happened to
    /// it in between was not seen.
    Race,
}

/// The map.
#[derive(Debug)]
pub struct ConnectionsMap {
    map: HashMap<MapData, u64, Connection>,
    silent: Silent,
    forgotten: Arc<AtomicU64>,
    refused: Once,
}

impl ConnectionsMap {
    /// Takes the map over, and the one in which its silent connections are counted.
    pub fn new(map: HashMap<MapData, u64, Connection>, silent: Silent) -> Self {
        Self { map, silent, forgotten: Arc::new(AtomicU64::new(0)), refused: Once::new() }
    }

    /// Records removed from here, not by a program.
    pub fn forgotten(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.forgotten)
    }

    /// The programs' record of that very connection, if they follow it. A record that the kernel
    /// does not hand out counts as none: nothing can be told of its connection any more.
    pub fn record(&self, id: ConnectionId) -> Option<Box<Connection>> {
        self.look_up(id).unwrap_or_else(|error| {
            self.tell(&error);
            None
        })
    }

    fn look_up(&self, id: ConnectionId) -> Result<Option<Box<Connection>>, MapError> {
        match self.map.get(&id.sock, 0) {
            Ok(record) => Ok((record.born_ns == id.born_ns).then(|| Box::new(record))),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Once: it may go on for every connection.
    fn tell(&self, error: &MapError) {
        let what = "the kernel refuses CONNECTIONS: counts are too low from here on";
        self.refused.call_once(|| tracing::error!(%error, "{what}"));
    }

    /// The records of all connections that the programs follow, up to a bound, and of those that begin or end
    /// meanwhile some. A record may be seen half written: its fields are of one moment each. One may come twice:
    /// where the record that was seen last is removed meanwhile, the kernel begins anew.
    pub fn all(&self) -> impl Iterator<Item = (ConnectionId, Connection)> {
        let all = self.map.iter().take(MAX_LOOKED_AT).filter_map(Result::ok);
        let id = |(sock, record): &(u64, Connection)| ConnectionId {
            sock: *sock,
            born_ns: record.born_ns,
        };
        // 0: it is being born.
        all.filter(|(_, record)| record.born_ns != 0).map(move |one| (id(&one), one.1))
    }

    /// Ends the tracking of a connection.
    ///
    /// The kernel reuses a socket's address at once, so the record under it may be another
    /// connection's by now, and is looked at before it is removed. In the microsecond between the
    /// two it may become another one's, too: it is removed and looked at again in one step, and put
    /// back if so.
    pub fn forget(&mut self, id: ConnectionId) -> Forgotten {
        self.try_forget(id).unwrap_or_else(|error| {
            self.tell(&error);
            Forgotten::Refused
        })
    }

    fn try_forget(&mut self, id: ConnectionId) -> Result<Forgotten, MapError> {
        if self.look_up(id)?.is_none() {
            return Ok(Forgotten::Gone);
        }
        let Some(taken) = self.take(id.sock)? else { return Ok(Forgotten::Gone) };
        if taken.born_ns == id.born_ns {
            self.removed(&taken)?;
            return Ok(Forgotten::Yes);
        }
        self.put_back(id.sock, taken)?;
        Ok(Forgotten::Race)
    }

    /// Where there is little room for connections that have sent nothing, ends the tracking of those that
    /// began before then; how many it were. They are followed again from their first send on.
    pub fn evict_silent(&mut self, born_before_ns: u64) -> u64 {
        self.try_evict_silent(born_before_ns).unwrap_or_else(|error| {
            self.tell(&error);
            0
        })
    }

    fn try_evict_silent(&mut self, born_before_ns: u64) -> Result<u64, MapError> {
        if !self.silent.is_short()? {
            return Ok(0);
        }
        self.silent.adopt_from_now_on()?;
        // 0: it is being born.
        let is_old = |born_ns| (1..born_before_ns).contains(&born_ns);
        let all = self.map.iter().take(MAX_LOOKED_AT).filter_map(Result::ok);
        let old = all.filter(|(_, record)| record.sent_bytes == 0 && is_old(record.born_ns));
        let old: Vec<_> = old.map(|(sock, record)| (sock, record.born_ns)).collect();
        let mut evicted = 0;
        for (sock, born_ns) in old {
            let Some(taken) = self.take(sock)? else { continue };
            if taken.born_ns == born_ns && taken.sent_bytes == 0 {
                self.removed(&taken)?;
                evicted += 1;
            } else {
                self.put_back(sock, taken)?; // it has spoken in this moment, or is another one
            }
        }
        Ok(evicted)
    }

    fn removed(&mut self, taken: &Connection) -> Result<(), MapError> {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
        self.silent.removed(taken)
    }

    /// Refused where that connection has closed meanwhile and another one begun: then the other one's
    /// record is in place, and this one is over.
    fn put_back(&mut self, sock: u64, taken: Connection) -> Result<(), MapError> {
        match self.map.insert(sock, taken, NO_EXIST) {
            Ok(()) => Ok(()),
            Err(_) => self.removed(&taken),
        }
    }

    /// Removes the record at an address and hands it over, if there is one. aya has no binding for this
    /// command on hashes.
    fn take(&mut self, sock: u64) -> io::Result<Option<Connection>> {
        let mut value = Connection::new_zeroed();
        let fd = self.map.map().fd().as_fd().as_raw_fd();
        let mut command = ElementCommand {
            map_fd: fd.cast_unsigned(),
            padding: 0,
            key: (&raw const sock) as u64,
            value: (&raw mut value) as u64,
            flags: 0,
        };
        // SAFETY: `command` is laid out as the kernel's `bpf_attr` for this command and lives until
        // the call returns, as do the key it points to and the value the kernel writes; both have
        // the sizes the map was created with, since `map` is typed by them.
        let failed = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                LOOKUP_AND_DELETE,
                &raw mut command,
                mem::size_of::<ElementCommand>(),
            )
        };
        if failed == 0 {
            return Ok(Some(value));
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            error => Err(error),
        }
    }
}
