//! The metrics of admission to providers.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts};

use crate::clock::monotonic_ns;
use crate::metrics::{GaugeGuard, Registry, Standstill};
use crate::provider::CallKind;
use crate::provider::breaker::BreakerState;

const LABELS: [&str; 3] = ["kind", "provider", "model"];
const LABELS_AND_STATE: [&str; 4] = ["kind", "provider", "model", "state"];

/// The families, for whatever providers and models are configured.
#[derive(Debug, Clone)]
pub struct AdmissionMetrics {
    in_flight: IntGaugeVec,
    waiting: IntGaugeVec,
    limit: IntGaugeVec,
    breaker_state: IntGaugeVec,
    breaker_transitions: IntCounterVec,
    standstill: Standstill,
}

impl AdmissionMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// If a family of the same name is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let metrics = Self {
            in_flight: gauge(
                "provider_calls_in_flight",
                "Calls in flight: sent to the provider, and not answered to the end.",
                &LABELS,
            )?,
            waiting: gauge(
                "provider_calls_waiting",
                "Calls that wait because the limit of calls in flight is reached.",
                &LABELS,
            )?,
            limit: gauge(
                "provider_calls_limit",
                "Limit of calls in flight: max_concurrent.",
                &LABELS,
            )?,
            breaker_state: gauge(
                "provider_breaker_state",
                "1 for the current state of the circuit breaker.",
                &LABELS_AND_STATE,
            )?,
            breaker_transitions: IntCounterVec::new(
                Opts::new(
                    "provider_breaker_transitions_total",
                    "Changes of the circuit breaker's state, by the new state.",
                ),
                &LABELS_AND_STATE,
            )?,
            standstill: Standstill::default(),
        };
        let families: [Box<dyn Collector>; 5] = [
            Box::new(metrics.in_flight.clone()),
            Box::new(metrics.waiting.clone()),
            Box::new(metrics.limit.clone()),
            Box::new(metrics.breaker_state.clone()),
            Box::new(metrics.breaker_transitions.clone()),
        ];
        families.into_iter().try_for_each(|family| registry.register(family))?;
        Ok(metrics)
    }

    /// The same, with the times in which the process itself stood still.
    #[must_use]
    pub fn with_standstill(self, standstill: Standstill) -> Self {
        Self { standstill, ..self }
    }

    /// The series of one provider and model, with a closed breaker.
    pub(crate) fn of(&self, kind: CallKind, provider: &str, model: &str) -> AdmissionSeries {
        let labels = [kind.as_str(), provider, model];
        let with = |state: BreakerState| [labels[0], labels[1], labels[2], state.as_str()];
        let series = AdmissionSeries {
            in_flight: self.in_flight.with_label_values(&labels),
            waiting: self.waiting.with_label_values(&labels),
            limit: self.limit.with_label_values(&labels),
            labels: labels.map(str::to_owned),
            families: self.clone(),
        };
        for state in BreakerState::ALL {
            self.breaker_transitions.with_label_values(&with(state));
            self.breaker_state.with_label_values(&with(state)).set(0);
        }
        self.breaker_state.with_label_values(&with(BreakerState::Closed)).set(1);
        series
    }
}

/// The series of one provider and model.
#[derive(Debug)]
pub(crate) struct AdmissionSeries {
    pub(super) in_flight: IntGauge,
    pub(super) waiting: IntGauge,
    limit: IntGauge,
    labels: [String; 3],
    families: AdmissionMetrics,
}

impl AdmissionSeries {
    pub(super) fn limit(&self, max_concurrent: usize) {
        self.limit.set(i64::try_from(max_concurrent).unwrap_or(i64::MAX));
    }

    /// How long the process has stood still.
    pub(super) fn stood_still(&self) -> Duration {
        self.families.standstill.so_far(monotonic_ns())
    }

    /// `kind`, `provider` and `model`.
    pub(super) fn labels(&self) -> [&str; 3] {
        self.labels.each_ref().map(String::as_str)
    }

    pub(super) fn in_flight(&self) -> GaugeGuard {
        GaugeGuard::new(&self.in_flight)
    }

    pub(super) fn waiting(&self) -> GaugeGuard {
        GaugeGuard::new(&self.waiting)
    }

    pub(super) fn changed(&self, before: BreakerState, after: BreakerState) {
        let [kind, provider, model] = &self.labels;
        let with = |state: BreakerState| [kind, provider, model, state.as_str()];
        self.families.breaker_state.with_label_values(&with(before)).set(0);
        self.families.breaker_state.with_label_values(&with(after)).set(1);
        self.families.breaker_transitions.with_label_values(&with(after)).inc();
    }
}
