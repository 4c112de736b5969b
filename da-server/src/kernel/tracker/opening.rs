//! Connections as they begin: whose they are, and their handshakes.

use da_ebpf_common::connection::flags;
use da_ebpf_common::tls::{FirstBytes, Handshake};

use super::known::Known;
use super::{Tracker, Verdict};
use crate::kernel::connection::{ConnectionOutcome, addresses};
use crate::kernel::endpoints::Attribution;
use crate::kernel::endpoints::names::{Opening, is_http2_frame};
use crate::kernel::exchange::interleaving::Interleaving;
use crate::kernel::observation::What;
use crate::kernel::self_metrics::losses::Loss;
use crate::kernel::tls::HandshakeKind;

impl Tracker {
    pub(super) fn first_bytes(&mut self, first: &FirstBytes, payload: &[u8]) -> Verdict {
        let id = first.header.connection;
        // Records behind a handshake that was not seen have nothing to read in them.
        let readable = first.flags & flags::TLS_UNDER_WAY == 0;
        let opening = if readable { Opening::read(payload) } else { Opening::Unknown };
        if opening == Opening::Unparsable {
            self.losses.count(Loss::UnparsableHello);
        }
        if let Opening::Tunnel { host } = opening {
            self.tunnels.insert(id, host);
            return Verdict::Keep;
        }
        let (earlier, undetermined) = (self.remove(id), self.undetermined.remove(&id));
        let attribution = match (self.tunnels.remove(&id), &earlier) {
            (Some(host), _) => self.endpoints.attribute_proxied(opening.name().or(host.as_deref())),
            (None, Some(known)) if opening.name().is_none() => Attribution::To(known.endpoint),
            (None, _) => self.endpoints.attribute(opening.name(), addresses(&first.peers).1),
        };
        let endpoint = match attribution {
            Attribution::To(endpoint) => endpoint,
            Attribution::Unlisted | Attribution::Ambiguous => {
                if attribution == Attribution::Ambiguous {
                    self.losses.count(Loss::AmbiguousAddress);
                }
                return self.forget(id);
            }
        };
        let (resumes, sends_early) = match opening {
            Opening::Tls { resumes, sends_early, .. } => (resumes, sends_early),
            _ => (false, false),
        };
        let series = self.series_of(endpoint, &first.peers);
        let known = match (earlier, undetermined) {
            (Some(known), _) => Known { endpoint, series, ..known },
            (None, Some(existing)) => Known::existing(endpoint, series, &existing),
            (None, None) => Known::new(endpoint, series, first.peers),
        };
        let midway = first.flags & flags::PRE_EXISTING != 0 && opening == Opening::Unknown;
        let interleaving = match opening.interleaving() {
            _ if !readable => Interleaving::Unseen,
            Interleaving::No if midway && is_http2_frame(payload) => Interleaving::Certain,
            told => told,
        };
        let known = Known { interleaving, resumes, sends_early, joined_midway: midway, ..known };
        self.insert(id, known);
        if first.established_ns != 0 {
            let (from_ns, to_ns) = (id.born_ns, first.established_ns);
            let labels = self.series.labels(series);
            self.connections.connected(series, labels, to_ns.saturating_sub(from_ns));
            self.report(id, What::Connected { from_ns, to_ns });
        }
        if matches!(opening, Opening::Http { .. } | Opening::Http2 | Opening::Unknown) {
            self.ended_up(id, ConnectionOutcome::Ok);
        }
        Verdict::Keep
    }

    pub(super) fn handshake(&mut self, handshake: &Handshake) {
        let id = handshake.header.connection;
        let Some(known) = self.find(&handshake.header) else { return };
        let series = known.series;
        let (from_ns, to_ns) = (handshake.hello_ns, handshake.done_ns);
        let labels = self.series.labels(series);
        self.tls.shook_hands(series, labels, to_ns.saturating_sub(from_ns));
        let kind = HandshakeKind::of(handshake.flags);
        self.report(id, What::HandshakeDone { from_ns, to_ns, kind });
        self.ended_up(id, ConnectionOutcome::Ok);
    }
}
