//! Where a scrape reads from, and what it does without when that takes too long.

use super::registry::{Family, Registry};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, Opts};

/// What is read together: what one of them takes, the others don't wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// What this process counts in its own memory, which is never late.
    Memory,
    /// What the BPF programs say of themselves: their maps, and what the kernel knows of each.
    Programs,
    /// The programs' histograms of system calls: one map, of up to 512 entries of 4.8 KB.
    Syscalls,
    /// This process in `/proc`: a line for each open file.
    Process,
}

impl Source {
    /// Every one, in the order in which they are exposed.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Programs, Self::Syscalls, Self::Process];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Programs => "programs",
            Self::Syscalls => "syscalls",
            Self::Process => "process",
        }
    }
}

/// `scrape_skipped_total{source}` and `scrapes_refused_total`: what scrapers did not get. Read last,
/// so that an exposition counts what it lacks itself.
#[derive(Debug, Clone)]
pub struct ScrapeMetrics {
    registry: Registry,
    skipped_total: IntCounterVec,
    refused_total: IntCounter,
}

impl ScrapeMetrics {
    /// With every source at 0, in a registry of their own.
    ///
    /// # Errors
    /// A family is malformed: a defect of the program.
    pub(super) fn new(registry: Registry) -> prometheus::Result<Self> {
        let skipped = Opts::new(
            "scrape_skipped_total",
            "Scrapes that omitted a source because it was not ready in time.",
        );
        let metrics = Self {
            skipped_total: IntCounterVec::new(skipped, &["source"])?,
            refused_total: IntCounter::new(
                "scrapes_refused_total",
                "Scrapes refused with 503 because the limit of concurrent scrapes was reached.",
            )?,
            registry,
        };
        for source in Source::ALL {
            metrics.skipped_total.with_label_values(&[source.as_str()]);
        }
        metrics.registry.register(Box::new(metrics.skipped_total.clone()))?;
        metrics.registry.register(Box::new(metrics.refused_total.clone()))?;
        Ok(metrics)
    }

    /// An exposition was made without a source.
    pub fn skipped(&self, source: Source) {
        self.skipped_total.with_label_values(&[source.as_str()]).inc();
    }

    /// A scrape was refused.
    pub fn refused(&self) {
        self.refused_total.inc();
    }

    /// What the two are.
    pub(super) fn families(&self) -> Vec<Family> {
        self.registry.families()
    }

    /// Both families.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}
