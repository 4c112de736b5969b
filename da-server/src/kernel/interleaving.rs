//! Connections that do not carry one exchange after the other: HTTP/2, and what an upgrade leads to.
//!
//! What HTTP/2 sends is encrypted, and ALPN's choice is, too (in TLS 1.3). What shows is what the
//! client offers, and the sizes of what it sends: the connection preface, the acknowledgement of
//! SETTINGS. When in doubt a connection is taken for one that interleaves.

use std::collections::HashSet;
use std::net::SocketAddr;

use da_ebpf_common::connection::flags;

/// Servers whose choice is remembered; beyond that no more are.
const MAX_SERVERS: usize = 4096;

/// What the first bytes of a connection tell of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Interleaving {
    /// One exchange after the other: HTTP/1.1 by ALPN, or in the clear.
    #[default]
    No,
    /// HTTP/2 if the server wants it: ALPN offers it and HTTP/1.1, or could not be read.
    Offered,
    /// ALPN offers nothing but HTTP/2, its preface was seen in the clear, or an upgrade was asked for.
    Certain,
    /// It is older than the programs, and the handshake was before: ALPN may have chosen anything.
    Unseen,
}

/// Tells which connections interleave.
#[derive(Debug, Default)]
pub struct Interleavings {
    /// Servers that have chosen HTTP/2: they choose the same again.
    chosen_by: HashSet<SocketAddr>,
}

impl Interleavings {
    /// Whether a connection to `server` interleaves, and remembers if that shows what the server chooses.
    /// `connection_flags`: see [`flags`].
    pub fn is_interleaved(
        &mut self,
        server: SocketAddr,
        told: Interleaving,
        connection_flags: u32,
    ) -> bool {
        // One alone may be chance: a short request, a body of nine bytes.
        const BOTH: u32 = flags::HTTP2_PREFACE | flags::HTTP2_CONTROL;
        let has_chosen = told == Interleaving::Offered && connection_flags & BOTH == BOTH;
        if has_chosen && self.chosen_by.len() < MAX_SERVERS {
            self.chosen_by.insert(server);
        }
        self.may_interleave(server, told, connection_flags)
    }

    /// The same as far as is known by now.
    pub fn may_interleave(
        &self,
        server: SocketAddr,
        told: Interleaving,
        connection_flags: u32,
    ) -> bool {
        match told {
            Interleaving::No => false,
            Interleaving::Certain | Interleaving::Unseen => true,
            Interleaving::Offered => {
                connection_flags & (flags::HTTP2_PREFACE | flags::HTTP2_CONTROL) != 0
                    || self.chosen_by.contains(&server)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP2: u32 = flags::TLS | flags::HTTP2_PREFACE | flags::HTTP2_CONTROL;

    fn server(last: u8) -> SocketAddr {
        ([127, 0, 0, last], 443).into()
    }

    #[test]
    fn what_was_not_offered_is_not_spoken() {
        let mut all = Interleavings::default();
        assert!(!all.is_interleaved(server(1), Interleaving::No, HTTP2));
        for told in [Interleaving::Certain, Interleaving::Unseen] {
            assert!(all.is_interleaved(server(1), told, flags::TLS));
        }
    }

    #[test]
    fn either_sign_is_a_doubt_and_a_doubt_is_enough() {
        let mut all = Interleavings::default();
        let mut offered = |flags| all.is_interleaved(server(1), Interleaving::Offered, flags);
        assert!(!offered(flags::TLS));
        assert!(offered(flags::TLS | flags::HTTP2_PREFACE));
        assert!(offered(flags::TLS | flags::HTTP2_CONTROL));
        assert!(!offered(flags::TLS), "a doubt is not remembered");
    }

    #[test]
    fn a_choice_is_remembered_of_its_server() {
        let mut all = Interleavings::default();
        assert!(all.is_interleaved(server(1), Interleaving::Offered, HTTP2));
        assert!(all.is_interleaved(server(1), Interleaving::Offered, flags::TLS));
        assert!(!all.is_interleaved(server(2), Interleaving::Offered, flags::TLS));
        assert!(!all.is_interleaved(server(1), Interleaving::No, flags::TLS));
    }
}
