//! What the stand-in did and when: in memory, and as JSON lines in a file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde::Serialize;

/// One line of the log. In JSON the event's name is in `event`, its fields beside the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogEntry {
    /// When, in nanoseconds of CLOCK_MONOTONIC: see the event.
    pub t_ns: u64,
    /// The connection, counted from 1.
    pub conn: u64,
    /// The client's end of the connection, as the server sees it.
    pub peer: SocketAddr,
    /// The name in the ClientHello, else the `Host` of the latest request, else none.
    pub name: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened. No event holds any content: no text, no header value, no query.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// accept() returned.
    Accept,
    /// The read that completed the ClientHello returned.
    ClientHello,
    /// The handshake's last read or write returned: in TLS 1.3, and in a resumed 1.2, the read that
    /// brought the client's Finished; else the write of the server's.
    HandshakeDone {
        /// `1.2` or `1.3`.
        tls_version: &'static str,
        /// From a session of before.
        resumed: bool,
        /// The client was asked for a second ClientHello.
        hello_retry: bool,
        /// Just before the first write of the server.
        answered_ns: u64,
        /// The write of the session tickets returned. TLS 1.3 only, none without tickets. The
        /// request may have come before.
        tickets_ns: Option<u64>,
    },
    /// The read that brought the last byte of a request returned.
    Request {
        /// The request and its response, counted from 1 over all connections.
        exchange: u64,
        /// Without the query.
        path: String,
        /// Head and body, before encryption.
        bytes: u64,
        /// The read that brought its first byte returned.
        first_read_ns: u64,
    },
    /// Just before the write of the first byte of the response.
    ResponseStart {
        /// See [`Event::Request`].
        exchange: u64,
        /// HTTP status.
        status: u16,
    },
    /// Just before the write of a chunk of a streamed body.
    Chunk {
        /// See [`Event::Request`].
        exchange: u64,
        /// From 0 in each response.
        index: u64,
        /// Of the chunk's content, without the framing.
        bytes: u64,
        /// Holds a token: text of an answer, or audio.
        token: bool,
    },
    /// The last write of the response returned. Absent when a fault cut it off.
    ResponseEnd {
        /// See [`Event::Request`].
        exchange: u64,
        /// Head, framing and body, before encryption.
        bytes: u64,
    },
    /// A fault was injected: for one that changes the answer, before it is written; for one that
    /// ends it, just before the end.
    Fault {
        /// See [`Event::Request`]; none for a fault of the handshake.
        exchange: Option<u64>,
        /// [`Fault::as_str`](crate::Fault::as_str).
        kind: &'static str,
    },
    /// Just before the connection is closed, or on finding that the client has closed it.
    Close {
        /// Why.
        reason: CloseReason,
        /// Read from the socket in all, encrypted.
        read_bytes: u64,
        /// Written to the socket in all, encrypted.
        written_bytes: u64,
    },
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The client closed or reset it.
    Client,
    /// The response said `Connection: close`.
    ConnectionClose,
    /// A fault: RST.
    Reset,
    /// A fault: TLS alert.
    BadHandshake,
    /// The client's handshake could not be followed.
    TlsError,
    /// The stand-in could not go on.
    IoError,
    /// The stand-in was stopped.
    Stopped,
}

/// Collects entries. Memory holds the newest `capacity`; the file holds all.
pub(crate) struct Log {
    inner: Mutex<Inner>,
}

struct Inner {
    entries: VecDeque<LogEntry>,
    capacity: Option<usize>,
    dropped: u64,
    file: Option<File>,
}

impl Log {
    /// `capacity` none keeps everything.
    pub(crate) fn new(capacity: Option<usize>, path: Option<&Path>) -> Result<Log> {
        let open = |path: &Path| {
            File::create(path).with_context(|| format!("cannot write the log {}", path.display()))
        };
        Ok(Log {
            inner: Mutex::new(Inner {
                entries: VecDeque::new(),
                capacity,
                dropped: 0,
                file: path.map(open).transpose()?,
            }),
        })
    }

    pub(crate) fn push(&self, entry: LogEntry) {
        let mut inner = self.lock();
        inner.append_to_file(&entry);
        if inner.capacity.is_some_and(|capacity| inner.entries.len() >= capacity) {
            inner.entries.pop_front();
            inner.dropped += 1;
        }
        if inner.capacity != Some(0) {
            inner.entries.push_back(entry);
        }
    }

    /// By time; entries of one connection are always in the order in which things happened.
    pub(crate) fn snapshot(&self) -> Vec<LogEntry> {
        let mut entries: Vec<LogEntry> = self.lock().entries.iter().cloned().collect();
        entries.sort_by_key(|entry| entry.t_ns);
        entries
    }

    /// How many entries memory no longer holds.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// One write per line, so that a reader of the file is never behind. A file that can't be
    /// written is given up with a message: a log with holes would be worse than a short one.
    fn append_to_file(&mut self, entry: &LogEntry) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_vec(entry).map_err(Into::into).and_then(|mut line| {
            line.push(b'\n');
            file.write_all(&line)
        });
        if let Err(error) = written {
            eprintln!("da-standin: the log file ends here, it cannot be written: {error}");
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(t_ns: u64) -> LogEntry {
        LogEntry {
            t_ns,
            conn: 1,
            peer: "127.0.0.1:4000".parse().unwrap(),
            name: None,
            event: Event::Accept,
        }
    }

    fn times(log: &Log) -> Vec<u64> {
        log.snapshot().iter().map(|entry| entry.t_ns).collect()
    }

    #[test]
    fn memory_keeps_the_newest_and_counts_the_rest() {
        let log = Log::new(Some(2), None).unwrap();
        (1..=5).for_each(|t_ns| log.push(entry(t_ns)));
        assert_eq!((times(&log), log.dropped()), (vec![4, 5], 3));

        let all = Log::new(None, None).unwrap();
        (1..=5).for_each(|t_ns| all.push(entry(t_ns)));
        assert_eq!((times(&all).len(), all.dropped()), (5, 0));
    }

    #[test]
    fn file_holds_one_flat_object_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let log = Log::new(Some(0), Some(&path)).unwrap();
        log.push(entry(7));
        log.push(LogEntry {
            event: Event::Close {
                reason: CloseReason::ConnectionClose,
                read_bytes: 3,
                written_bytes: 4,
            },
            ..entry(8)
        });
        let lines: Vec<serde_json::Value> = std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines[0],
            serde_json::json!({"t_ns":7,"conn":1,"peer":"127.0.0.1:4000","name":null,"event":"accept"})
        );
        assert_eq!(lines[1]["event"], "close");
        assert_eq!(lines[1]["reason"], "connection_close");
        assert!(log.snapshot().is_empty());
    }

    #[test]
    fn unwritable_file_is_an_error_that_names_it() {
        let error = Log::new(None, Some(Path::new("/no/such/folder/log"))).err().unwrap();
        assert!(format!("{error:#}").contains("/no/such/folder/log"));
    }
}
