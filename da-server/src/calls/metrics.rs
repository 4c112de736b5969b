//! The families of calls: where their time goes, and how well both halves were joined.

use std::collections::HashMap;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};

use super::{Attempt, Call, CallKind, Join, Phase, Reuse};
use crate::kernel::EndpointKind;
use crate::metrics::{Registry, buckets};

/// The families of this module.
#[derive(Debug)]
pub struct CallMetrics {
    phases: HistogramVec,
    /// By kind, provider and model: clients of one process, so they are few.
    handles: HashMap<(EndpointKind, String, String), [Histogram; Phase::ALL.len()]>,
    joins: IntCounterVec,
    late: IntCounterVec,
    connections: IntCounterVec,
    slow: IntCounterVec,
    dropped: IntCounter,
}

impl CallMetrics {
    /// Registers the families, with every series of which the labels are known at 0.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let phases = HistogramVec::new(
            HistogramOpts::new(
                "call_phase_seconds",
                "Attempts of provider calls, split into phases that sum to the attempt's duration; a \
                 phase that an attempt did not have counts as 0.",
            )
            .buckets(buckets::CALL_PHASE_SECONDS.to_vec()),
            &["kind", "provider", "model", "phase"],
        )?;
        registry.register(Box::new(phases.clone()))?;
        let joins = counter(
            "call_join_total",
            "Attempts of provider calls, by the result of joining the application's timings with the \
             kernel's.",
            &["kind", "result"],
        )?;
        let late = counter(
            "call_join_late_total",
            "Attempts counted as missing whose kernel data came after the grace time.",
            &["kind"],
        )?;
        let connections = counter(
            "call_connections_total",
            "Attempts of provider calls, by whether they used a new or a reused connection.",
            &["kind", "provider", "reuse"],
        )?;
        let slow = counter(
            "call_slow_total",
            "Provider calls that took longer than calls.slow_seconds; each is in the log.",
            &["kind", "provider"],
        )?;
        let dropped = IntCounter::new(
            "call_reports_dropped_total",
            "Provider calls that are missing in the other call_* metrics and in /calls, because the \
             queue of finished calls was full.",
        )?;
        registry.register(Box::new(dropped.clone()))?;
        for kind in CallKind::ALL {
            late.with_label_values(&[kind.as_str()]);
            for join in Join::OF_REPORTED {
                joins.with_label_values(&[kind.as_str(), join.as_str()]);
            }
        }
        let handles = HashMap::new();
        Ok(Self { phases, handles, joins, late, connections, slow, dropped })
    }

    /// Counts reports that did not fit into the channel.
    pub fn dropped(&self) -> IntCounter {
        self.dropped.clone()
    }

    /// A call is complete; whether it was slow has been decided.
    pub fn ended(&mut self, call: &Call, slow: bool) {
        let kind = call.kind.as_str();
        let slow_calls = self.slow.with_label_values(&[kind, &call.provider]);
        slow_calls.inc_by(slow.into());
        for attempt in &call.attempts {
            self.attempt(call, attempt);
        }
    }

    /// Kernel data came too late.
    pub fn late(&self, kind: CallKind) {
        self.late.with_label_values(&[kind.as_str()]).inc();
    }

    fn attempt(&mut self, call: &Call, attempt: &Attempt) {
        let kind = call.kind.as_str();
        self.joins.with_label_values(&[kind, attempt.join.as_str()]).inc();
        for reuse in Reuse::ALL {
            let used = self.connections.with_label_values(&[kind, &call.provider, reuse.as_str()]);
            used.inc_by((attempt.reuse == reuse).into());
        }
        let model = call.model.as_deref().unwrap_or_default();
        let labels = (call.kind, call.provider.clone(), model.to_owned());
        let phases = self.handles.entry(labels).or_insert_with(|| {
            Phase::ALL.map(|phase| {
                let labels = [kind, &call.provider, model, phase.as_str()];
                self.phases.with_label_values(&labels)
            })
        });
        for ((_, ns), phase) in attempt.phases.iter().zip(phases) {
            phase.observe(ns as f64 / 1e9);
        }
    }
}
