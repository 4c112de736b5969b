//! What the segments of one connection say by the definitions of docs/KERNEL-VIEW.md.

use super::capture::Segment;

/// Record types: RFC 8446 §5.1.
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// One connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// SYN to its answer, ns.
    pub connect_ns: Option<u64>,
    /// ClientHello to the client's Finished, ns; none without TLS.
    pub handshake_ns: Option<u64>,
    /// Requests and what arrived in answer, in order.
    pub exchanges: Vec<Exchange>,
}

/// One request and its response.
#[derive(Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Last segment of the request, ns of `CLOCK_MONOTONIC`.
    pub request_last_ns: u64,
    /// Segments of the response, ns.
    pub arrivals_ns: Vec<u64>,
}

impl Exchange {
    /// Last segment of the request to the first of the response, ns.
    pub fn first_byte_ns(&self) -> Option<u64> {
        Some(self.arrivals_ns.first()? - self.request_last_ns)
    }
}

impl Timeline {
    /// Of all segments of a connection, in order, by a clock that is so much behind theirs.
    pub fn of(segments: &[Segment], behind_ns: u64) -> Self {
        let mut timeline = Self::default();
        let mut syn_ns = None;
        let mut hello_ns = None;
        for segment in segments {
            let at_ns = segment.at_ns - behind_ns;
            if segment.syn {
                match (segment.from_client, syn_ns) {
                    (true, _) => syn_ns = syn_ns.or(Some(at_ns)),
                    (false, Some(from_ns)) => timeline.connect_ns = Some(at_ns - from_ns),
                    (false, None) => {}
                }
            } else if segment.payload.is_empty() {
            } else if segment.from_client {
                if hello_ns.is_none() && segment.payload[0] == HANDSHAKE {
                    hello_ns = Some(at_ns);
                } else if let (Some(from_ns), None) = (hello_ns, timeline.handshake_ns) {
                    if has_application_data(&segment.payload) {
                        timeline.handshake_ns = Some(at_ns - from_ns);
                    }
                } else {
                    timeline.request(at_ns);
                }
            } else if let Some(exchange) = timeline.exchanges.last_mut() {
                exchange.arrivals_ns.push(at_ns);
            }
        }
        timeline
    }

    fn request(&mut self, at_ns: u64) {
        match self.exchanges.last_mut() {
            Some(open) if open.arrivals_ns.is_empty() => open.request_last_ns = at_ns,
            _ => self.exchanges.push(Exchange { request_last_ns: at_ns, arrivals_ns: Vec::new() }),
        }
    }
}

/// The client's Finished is the first record that it encrypts; change_cipher_spec may precede it.
fn has_application_data(mut records: &[u8]) -> bool {
    while let [kind, _, _, high, low, rest @ ..] = records {
        if *kind == APPLICATION_DATA {
            return true;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        records = rest.get(length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(at_ns: u64, from_client: bool, payload: &[u8]) -> Segment {
        Segment { at_ns, from_client, syn: false, payload: payload.to_vec() }
    }

    fn opening() -> Vec<Segment> {
        let syn = |at_ns, from_client| Segment { syn: true, ..segment(at_ns, from_client, b"") };
        vec![syn(100, true), syn(130, false), segment(140, true, b"")]
    }

    #[test]
    fn a_request_may_take_several_segments_and_so_may_its_response() {
        let rest =
            [(200, true), (210, true), (500, false), (700, false), (900, true), (950, false)];
        let rest = rest.map(|(at_ns, from_client)| segment(at_ns, from_client, b"x"));
        let timeline = Timeline::of(&[opening(), rest.to_vec()].concat(), 50);
        assert_eq!(timeline.connect_ns, Some(30));
        assert_eq!(timeline.handshake_ns, None);
        let first = Exchange { request_last_ns: 160, arrivals_ns: vec![450, 650] };
        let second = Exchange { request_last_ns: 850, arrivals_ns: vec![900] };
        assert_eq!(first.first_byte_ns(), Some(290));
        assert_eq!(timeline.exchanges, [first, second]);
    }

    #[test]
    fn a_handshake_ends_with_the_clients_first_encrypted_record() {
        let hello = [HANDSHAKE, 3, 1, 0, 1, 0];
        let flight = [20, 3, 3, 0, 1, 1, APPLICATION_DATA, 3, 3, 0, 1, 0];
        let data = [APPLICATION_DATA, 3, 3, 0, 1, 0];
        let rest = [
            segment(200, true, &hello),
            segment(300, false, &hello),
            segment(340, true, &flight),
            segment(350, false, &data), // session tickets
            segment(400, true, &data),
            segment(600, false, &data),
        ];
        let timeline = Timeline::of(&[opening(), rest.to_vec()].concat(), 50);
        assert_eq!(timeline.handshake_ns, Some(140));
        let only = Exchange { request_last_ns: 350, arrivals_ns: vec![550] };
        assert_eq!(timeline.exchanges, [only]);
    }
}
