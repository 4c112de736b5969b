//! Connections as they begin: whose they are, and their handshakes.

use da_ebpf_common::connection::flags;
use da_ebpf_common::tls::{FirstBytes, Handshake};

use super::known::Known;
use super::{Tracker, Verdict};
use crate::kernel::connection::{ConnectionOutcome, established_ns, place};
use crate::kernel::endpoints::Attribution;
use crate::kernel::endpoints::names::Opening;
use crate::kernel::interleaving::Interleaving;
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
        if let Opening::Tunnel { to } = opening {
            self.tunnels.insert(id, to);
            return Verdict::Keep;
        }
        let (earlier, undetermined) = (self.remove(id), self.undetermined.remove(&id));
        let attribution = match (self.tunnels.remove(&id), opening.proxied(), &earlier) {
            (Some(to), _, _) => self.endpoints.attribute_proxied(opening.name(), to.as_ref()),
            // Where the target was not told it names the same host: RFC 9112 §3.2.2.
            (None, Some(None), _) => self.endpoints.attribute_proxied(opening.name(), None),
            (None, Some(target), _) => self.endpoints.attribute_proxied(None, target),
            (None, None, Some(known)) if opening.name().is_none() => {
                Attribution::To(known.endpoint)
            }
            (None, None, _) => {
                // What was lost may have been a proxy's CONNECT.
                if first.flags & flags::FIRST_BYTES_LOST == 0
                    && let Some(name) = opening.name_at_its_address()
                    && self.endpoints.learn(name, place(&first.peers)).is_err()
                {
                    self.losses.count(Loss::AddressesFull);
                }
                self.endpoints.attribute(opening.name(), place(&first.peers))
            }
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
        let is_clear = matches!(opening, Opening::Http { .. } | Opening::Http2 | Opening::Unknown);
        let sends_early = matches!(opening, Opening::Tls { sends_early: true, .. });
        let known_workload = earlier.as_ref().and_then(|known| known.workload.clone());
        let (series, workload) = self.series_of(endpoint, &first.peers, known_workload);
        // What is reported after its first bytes were lost may be reported more than once.
        let is_new = earlier.is_none();
        let known = match (earlier, undetermined) {
            (Some(known), _) => Known { endpoint, series, ..known },
            (None, Some(existing)) => Known::existing(endpoint, series, &existing),
            (None, None) => Known::new(endpoint, series, first.peers),
        };
        const LATE: u32 = flags::PRE_EXISTING | flags::FIRST_BYTES_LOST;
        let midway = first.flags & LATE != 0 && opening == Opening::Unknown;
        let is_http2_frame = first.flags & flags::HTTP2_FRAME != 0;
        let interleaving = match opening.interleaving() {
            _ if !readable => Interleaving::Unseen,
            Interleaving::No if midway && is_http2_frame => Interleaving::Certain,
            told => told,
        };
        // What had arrived before may be a part of the first answer, or all of it.
        let joined_midway = midway || is_clear && first.flags & flags::UNSEEN_ARRIVAL != 0;
        let is_http1 = opening.is_http1();
        let known = Known { workload, interleaving, is_http1, sends_early, joined_midway, ..known };
        self.insert(id, known);
        if is_new && let Some(to_ns) = established_ns(first.flags, first.established_ns) {
            // Where a proxy connects to is for the proxy to look up.
            if opening.proxied().is_none() {
                self.report_resolved(id, &first.peers, opening.name());
            }
            let from_ns = id.born_ns;
            let labels = self.series.labels(series);
            self.connections.connected(series, labels, to_ns.saturating_sub(from_ns));
            self.report(id, What::Connected { from_ns, to_ns });
        }
        if is_clear {
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
