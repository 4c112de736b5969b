//! TLS handshakes: `socket_tls_handshake_seconds`.

use da_ebpf_common::connection::flags;
use serde::{Deserialize, Serialize};

use super::series::family::EndpointHistogram;
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// How a handshake went, as record types tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandshakeKind {
    /// TLS 1.3, full or resumed: the records look alike.
    Tls13,
    /// TLS 1.2, full.
    Tls12Full,
    /// TLS 1.2, resumed.
    Tls12Resumed,
}

impl HandshakeKind {
    /// From the connection's flags.
    pub fn of(connection_flags: u32) -> Self {
        if connection_flags & flags::TLS13 != 0 {
            Self::Tls13
        } else if connection_flags & flags::TLS12_RESUMED != 0 {
            Self::Tls12Resumed
        } else {
            Self::Tls12Full
        }
    }
}

/// The family of this module.
#[derive(Debug)]
pub struct TlsMetrics {
    tls_handshake_seconds: EndpointHistogram,
}

impl TlsMetrics {
    /// Registers it.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: SocketRegistry<'_>) -> prometheus::Result<Self> {
        let tls_handshake_seconds = EndpointHistogram::register(
            registry,
            "socket_tls_handshake_seconds",
            "TLS handshake: ClientHello handed to the kernel to handshake done on the client's \
             side. Finished handshakes only.",
        )?;
        Ok(Self { tls_handshake_seconds })
    }

    /// A handshake took this long, ns.
    pub fn shook_hands(&mut self, id: SeriesId, labels: &SeriesLabels, handshake_ns: u64) {
        self.tls_handshake_seconds.observe_ns(id, labels, handshake_ns);
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId) {
        self.tls_handshake_seconds.forget(id);
    }
}
