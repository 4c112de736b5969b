//! The syscall tier: on, or shed because the view costs more than `kernel.cpu_budget` allows.

use std::time::{Duration, Instant};

use aya::Ebpf;
use da_ebpf_common::event::ConnectionId;
use da_ebpf_common::program::Program;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::budget::{Budget, Step};
use super::maps::SyscallMaps;
use crate::kernel::event::Event;
use crate::kernel::load::programs::Links;
use crate::kernel::load::status::ProgramState;
use crate::kernel::self_metrics::StatusMetrics;
use crate::kernel::self_metrics::meters::Meters;
use crate::kernel::series::SeriesLabels;
use crate::kernel::tracker::{Attributed, Verdict};
use crate::metrics::Registry;

/// Value of the `tier` label.
const SYSCALLS: &str = "syscalls";

/// `ebpf_tier_shed` and `ebpf_tier_sheds_total`.
#[derive(Debug)]
pub struct TierMetrics {
    shed: IntGauge,
    sheds_total: IntCounter,
}

impl TierMetrics {
    /// Registers them for a tier that is on.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "1 while a tier is shed because the view cost more than kernel.cpu_budget.";
        let shed = IntGaugeVec::new(Opts::new("ebpf_tier_shed", help), &["tier"])?;
        let help = "How often a tier was shed.";
        let sheds = IntCounterVec::new(Opts::new("ebpf_tier_sheds_total", help), &["tier"])?;
        registry.register(Box::new(shed.clone()))?;
        registry.register(Box::new(sheds.clone()))?;
        Ok(Self {
            shed: shed.with_label_values(&[SYSCALLS]),
            sheds_total: sheds.with_label_values(&[SYSCALLS]),
        })
    }
}

/// The tier, as the reader keeps it.
pub struct Tier {
    maps: SyscallMaps,
    /// Times that the programs were attached.
    epochs: u64,
    links: Links,
    share: f64,
    /// None any more where the kernel did not let the tier be taken back.
    budget: Option<Budget>,
    meters: Meters,
    metrics: TierMetrics,
    looked: Instant,
    /// CPU time of the reader, and of all programs, at the last look; `None` before the first one.
    used: Option<Duration>,
}

impl Tier {
    /// Begins to time system calls, with `share` of a core for the whole view.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn begin(
        links: Links,
        maps: SyscallMaps,
        share: f64,
        meters: Meters,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let mut tier = Self {
            maps,
            epochs: 1,
            links,
            share,
            budget: Some(Budget::new(share)),
            metrics: TierMetrics::register(registry)?,
            looked: Instant::now(),
            used: None,
            meters,
        };
        tier.maps.set_epoch(tier.epochs);
        Ok(tier)
    }

    /// Hears what came of an event: whose a connection is, that it is nobody's, or that it is over.
    pub fn take(&mut self, event: &Event<'_>, verdict: Verdict, attributed: &[Attributed]) {
        self.judged(verdict, attributed);
        if let Event::Closed(closed) = event {
            self.maps.close(closed.header.connection);
        }
    }

    /// Hears whose connections are, or that one is nobody's.
    pub fn judged(&mut self, verdict: Verdict, attributed: &[Attributed]) {
        for one in attributed {
            self.maps.attribute(one);
        }
        if let Verdict::Forget(id) = verdict {
            self.maps.forget(id);
        }
    }

    /// Nothing is measured of these series any more.
    pub fn forget(&mut self, gone: &[SeriesLabels]) {
        gone.iter().for_each(|labels| self.maps.forget_series(labels));
    }

    /// All events that were there have been taken.
    pub fn batch_ends(&mut self) {
        self.maps.catch_up(Instant::now());
    }

    /// Lets go of connections whose end was lost.
    pub fn sweep(&mut self, is_tracked: impl Fn(ConnectionId) -> bool) {
        self.maps.sweep(is_tracked);
    }

    /// Once a second: holds the cost against the budget. `reader` is the CPU time that the reader's
    /// thread has used.
    pub fn look(&mut self, now_ns: u64, reader: Duration, ebpf: &mut Ebpf, status: &StatusMetrics) {
        self.maps.look(now_ns);
        // Where the kernel does not say, it is left to the next look, over all the time until then.
        let Some(cost) = self.meters.cost(&Program::ALL) else { return };
        let (elapsed, total) = (self.looked.elapsed(), reader + cost.run_time);
        let before = self.used.replace(total);
        self.looked = Instant::now();
        let Some(before) = before else { return };
        let used = total.saturating_sub(before);
        let step = self.budget.as_mut().and_then(|budget| budget.look(elapsed, used));
        match step {
            Some(Step::Shed) => {
                self.shed(ebpf, status);
                tracing::warn!(
                    "the kernel view took {:.2} % of a core, kernel.cpu_budget allows {:.2} %: \
                     system calls are not timed for a while",
                    100.0 * used.as_secs_f64() / elapsed.as_secs_f64(),
                    100.0 * self.share
                );
            }
            Some(Step::TakeBack) => self.take_back(ebpf, status),
            None => {}
        }
    }

    fn shed(&mut self, ebpf: &mut Ebpf, status: &StatusMetrics) {
        self.maps.set_epoch(0);
        self.links.detach(ebpf);
        self.metrics.shed.set(1);
        self.metrics.sheds_total.inc();
        status.set_programs(&Program::SYSCALLS, ProgramState::Shed);
    }

    fn take_back(&mut self, ebpf: &mut Ebpf, status: &StatusMetrics) {
        if let Err(why) = self.links.attach(ebpf) {
            tracing::error!("system calls are not timed again before a restart: {why}");
            self.budget = None;
            return;
        }
        self.epochs += 1;
        self.maps.set_epoch(self.epochs);
        self.metrics.shed.set(0);
        status.set_programs(&Program::SYSCALLS, ProgramState::Attached);
        tracing::info!("system calls are timed again");
    }
}
