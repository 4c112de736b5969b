//! `socket_requests_in_flight`, `socket_oldest_request_seconds`.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::{GaugeVec, IntGaugeVec, Opts};

use super::{RequestState, UnderWay};
use crate::metrics::Registry;

const LABELS: [&str; 3] = ["kind", "provider", "state"];

/// The families of this module.
#[derive(Debug, Clone)]
pub struct UnderWayMetrics {
    in_flight: IntGaugeVec,
    oldest_seconds: GaugeVec,
    /// Endpoints that have had a request; their series stay, at 0.
    known: BTreeSet<(&'static str, String)>,
}

impl UnderWayMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let in_flight = IntGaugeVec::new(
            Opts::new(
                "socket_requests_in_flight",
                "Requests under way at the last look, by what they wait for; a quiet one may be \
                 over.",
            ),
            &LABELS,
        )?;
        let oldest_seconds = GaugeVec::new(
            Opts::new(
                "socket_oldest_request_seconds",
                "How long the request that is in this state for longest has been in it, at the last \
                 look; 0 where there is none.",
            ),
            &LABELS,
        )?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(oldest_seconds.clone()))?;
        Ok(Self { in_flight, oldest_seconds, known: BTreeSet::new() })
    }

    /// Nobody looks any more: there are no figures.
    pub fn end(&self) {
        self.in_flight.reset();
        self.oldest_seconds.reset();
    }

    /// These are under way, and no others.
    pub fn set(&mut self, requests: &[UnderWay]) {
        let mut now: BTreeMap<_, [(i64, u64); RequestState::ALL.len()]> =
            self.known.iter().map(|endpoint| (endpoint.clone(), Default::default())).collect();
        for request in requests {
            let endpoint = (request.kind.as_str(), request.provider.clone());
            let (count, oldest_ns) = &mut now.entry(endpoint).or_default()[request.state as usize];
            *count += 1;
            *oldest_ns = request.in_state_ns.max(*oldest_ns);
        }
        for ((kind, provider), states) in now {
            for (state, (count, oldest_ns)) in RequestState::ALL.into_iter().zip(states) {
                let labels = [kind, provider.as_str(), state.as_str()];
                self.in_flight.with_label_values(&labels).set(count);
                self.oldest_seconds.with_label_values(&labels).set(oldest_ns as f64 / 1e9);
            }
            self.known.insert((kind, provider));
        }
    }
}
