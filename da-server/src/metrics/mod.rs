//! The registry, what is shared by the modules that register into it, and the exposition.
//!
//! Families belong to the modules that observe them: each registers into [`Metrics::registry`] once
//! and keeps the handles. Nothing here is global, so every test has a registry of its own.

pub mod buckets;
mod errors;
mod event_loop;
mod format;
mod gauge_guard;
mod labels;
mod openmetrics;
mod process;
mod registry;
mod source;
mod standstill;

pub use errors::ErrorMetrics;
pub use event_loop::EventLoopMetrics;
pub use format::Format;
pub(crate) use gauge_guard::GaugeGuard;
pub use labels::{CloseReason, ErrorType, RequestStatus};
pub use registry::{Family, Registry};
pub use source::{ScrapeMetrics, Source};
pub use standstill::Standstill;

use prometheus::{IntGaugeVec, Opts, TextEncoder};

/// Put before every family's name, except the conventional `process_*`.
pub const PREFIX: &str = "digital_actors";

/// Everything this process exports.
#[derive(Debug, Clone)]
pub struct Metrics {
    memory: Registry,
    programs: Registry,
    syscalls: Registry,
    process: Registry,
    scrapes: ScrapeMetrics,
}

impl Metrics {
    /// Registries with `build_info`, the `process_*` families and those about scrapes in them.
    ///
    /// # Errors
    /// A family is malformed or registered twice: a defect of the program.
    pub fn new() -> prometheus::Result<Self> {
        let prefixed = || Registry::prefixed(PREFIX);
        let metrics = Self {
            memory: prefixed()?,
            programs: prefixed()?,
            syscalls: prefixed()?,
            process: Registry::new(),
            scrapes: ScrapeMetrics::new(prefixed()?)?,
        };
        register_build_info(&metrics.memory)?;
        metrics.process.register(Box::new(process::ProcessCollector::new()?))?;
        Ok(metrics)
    }

    /// Where families that are counted in memory are registered, under names without [`PREFIX`].
    pub fn registry(&self) -> &Registry {
        &self.memory
    }

    /// Where families that are read from this source are registered.
    pub fn registry_of(&self, source: Source) -> &Registry {
        match source {
            Source::Memory => &self.memory,
            Source::Programs => &self.programs,
            Source::Syscalls => &self.syscalls,
            Source::Process => &self.process,
        }
    }

    /// All families, also those that have no series yet, by name.
    pub fn families(&self) -> Vec<Family> {
        let mut families = Source::ALL.map(|source| self.registry_of(source).families()).concat();
        families.extend(self.scrapes.families());
        families.sort();
        families
    }

    /// What scrapers did not get.
    pub fn scrapes(&self) -> &ScrapeMetrics {
        &self.scrapes
    }

    /// All families in the Prometheus text format, however long that takes.
    ///
    /// # Errors
    /// A collector handed over something that can't be written.
    pub fn expose(&self) -> prometheus::Result<String> {
        let read = Source::ALL.map(|source| self.registry_of(source).gather());
        let mut families = read.concat();
        families.extend(self.scrapes.gather());
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
