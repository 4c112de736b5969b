//! The registry, what is shared by the rooms that register into it, and the exposition.
//!
//! Families belong to the rooms that observe them: each registers into [`Metrics::registry`] once
//! and keeps the handles. Nothing here is global, so every test has a registry of its own.

pub mod buckets;
mod errors;
mod event_loop;
mod labels;
mod process;

pub use errors::ErrorMetrics;
pub use event_loop::EventLoopMetrics;
pub use labels::{CloseReason, ErrorType, RequestStatus};

use prometheus::{IntGaugeVec, Opts, Registry, TextEncoder};

/// Put before every family's name, except the conventional `process_*`.
pub const PREFIX: &str = "digital_actors";

/// Everything this process exports.
#[derive(Debug, Clone)]
pub struct Metrics {
    prefixed: Registry,
    conventional: Registry,
}

impl Metrics {
    /// A registry with `build_info` and the `process_*` families in it.
    ///
    /// # Errors
    /// A family is malformed or registered twice: a defect of the program.
    pub fn new() -> prometheus::Result<Self> {
        let prefixed = Registry::new_custom(Some(PREFIX.to_owned()), None)?;
        let conventional = Registry::new();
        register_build_info(&prefixed)?;
        conventional.register(Box::new(process::ProcessCollector::new()?))?;
        Ok(Self { prefixed, conventional })
    }

    /// Where families are registered, under names without [`PREFIX`].
    pub fn registry(&self) -> &Registry {
        &self.prefixed
    }

    /// All families in the Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    /// A collector handed over something that can't be written.
    pub fn expose(&self) -> prometheus::Result<String> {
        let mut families = self.prefixed.gather();
        families.extend(self.conventional.gather());
        TextEncoder::new().encode_to_string(&families)
    }
}

fn register_build_info(registry: &Registry) -> prometheus::Result<()> {
    let opts = Opts::new("build_info", "Always 1; the labels say which build is running.");
    let info = IntGaugeVec::new(opts, &["version", "commit"])?;
    info.with_label_values(&[crate::VERSION, crate::COMMIT]).set(1);
    registry.register(Box::new(info))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_families_are_prefixed_and_the_conventional_ones_are_not() {
        let text = Metrics::new().expect("registers").expose().expect("encodes");
        let build = format!("digital_actors_build_info{{commit=\"{}\",", crate::COMMIT);
        assert!(text.contains(&build), "{text}");
        assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");
        assert!(!text.contains("digital_actors_process_"), "{text}");
    }
}
