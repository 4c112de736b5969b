//! What is known of one connection, and its part of the log.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::clock::{Alarm, now_ns};
use crate::log::{CloseReason, Event, LogEntry};
use crate::shared::Shared;
use crate::socket::Notebook;

/// What a connection writes its part of the log with, and waits with.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) conn: u64,
    pub(crate) peer: SocketAddr,
    /// The name in the ClientHello.
    pub(crate) sni: Option<String>,
    /// The name in the latest `Host`.
    pub(crate) host: Option<String>,
    pub(crate) alarm: Alarm,
}

impl Connection {
    /// The name that plans and the log know the connection by.
    pub(crate) fn name(&self) -> Option<&str> {
        self.sni.as_deref().or(self.host.as_deref())
    }

    pub(crate) fn record(&self, t_ns: u64, event: Event) {
        self.shared.log.push(LogEntry {
            t_ns,
            conn: self.conn,
            peer: self.peer,
            name: self.name().map(str::to_owned),
            event,
        });
    }

    pub(crate) fn record_close(&self, reason: CloseReason, notebook: &Notebook) {
        let (read_bytes, written_bytes) = {
            let notes = notebook.notes();
            (notes.read_bytes, notes.written_bytes)
        };
        let close = Event::Close { reason, read_bytes, written_bytes };
        self.record(now_ns(), close);
    }
}
