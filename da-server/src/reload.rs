//! SIGHUP: the endpoints are read again from the configuration, while everything else goes on.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use prometheus::{Gauge, IntCounterVec, IntGauge, Opts};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Mode};
use crate::kernel::catalogue::doubts;
use crate::kernel::{EndpointsInForce, Service, with_services};
use crate::metrics::Registry;

/// What a reload takes.
pub struct Reload {
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    /// What is in force.
    pub config: Config,
    /// Which program runs.
    pub mode: Mode,
    /// What the server itself calls, for as long as it runs.
    pub services: Vec<Service>,
    /// Where the endpoints go.
    pub endpoints: EndpointsInForce,
}

impl Reload {
    /// Reads again on every SIGHUP, for as long as the runtime lives. Without a file there is
    /// nothing to read again, and SIGHUP ends the process as it does by default.
    ///
    /// # Errors
    /// A family is already registered, or the signal can't be watched.
    pub fn on_signal(self, registry: &Registry) -> anyhow::Result<()> {
        let metrics = ReloadMetrics::register(registry)?;
        let Some(file) = self.file.clone() else { return Ok(()) };
        let mut hang_up = signal(SignalKind::hangup()).context("can't watch SIGHUP")?;
        tokio::spawn(async move {
            while hang_up.recv().await.is_some() {
                match self.reload(file.clone()).await {
                    Ok(()) => metrics.succeeded(),
                    Err(error) => {
                        tracing::error!(
                            "the configuration could not be reloaded, so the endpoints are unchanged: {error:#}"
                        );
                        metrics.failed();
                    }
                }
            }
        });
        Ok(())
    }

    async fn reload(&self, file: PathBuf) -> anyhow::Result<()> {
        let reading = tokio::task::spawn_blocking(move || Config::of_process(Some(&file)));
        let config = reading.await.context("reading the configuration")??;
        for key in self.config.changes_for_a_restart(&config, self.mode) {
            tracing::warn!("{key} has changed, which takes effect after a restart");
        }
        for warning in doubts(&config.endpoint) {
            tracing::warn!("{warning}");
        }
        let endpoints = with_services(&config.endpoint, &self.services)?;
        let count = endpoints.len();
        match self.endpoints.replace(endpoints, config.kernel.unlisted).await {
            Ok(()) => tracing::info!(endpoints = count, "the endpoints were reloaded"),
            Err(error) => tracing::warn!("the endpoints were reloaded, but {error}"),
        }
        Ok(())
    }
}

/// What became of a SIGHUP: label value of `config_reloads_total{result}`.
#[derive(Debug, Clone, Copy)]
enum ReloadResult {
    Success,
    Failure,
}

impl ReloadResult {
    /// Every value, for pre-creating series.
    const ALL: [Self; 2] = [Self::Success, Self::Failure];

    /// The label value.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// Whether what is in force is what is written. Named as Prometheus names its own.
struct ReloadMetrics {
    successful: IntGauge,
    success_timestamp_seconds: Gauge,
    reloads_total: IntCounterVec,
}

impl ReloadMetrics {
    /// Registers them. That the program runs shows that the configuration could be read.
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let opts = Opts::new("config_reloads_total", "Reloads of the configuration, by result.");
        let metrics = Self {
            successful: IntGauge::new(
                "config_last_reload_successful",
                "1 if the last load of the configuration succeeded, 0 if it was refused.",
            )?,
            success_timestamp_seconds: Gauge::new(
                "config_last_reload_success_timestamp_seconds",
                "When the configuration was last loaded successfully, in seconds since the epoch.",
            )?,
            reloads_total: IntCounterVec::new(opts, &["result"])?,
        };
        registry.register(Box::new(metrics.successful.clone()))?;
        registry.register(Box::new(metrics.success_timestamp_seconds.clone()))?;
        registry.register(Box::new(metrics.reloads_total.clone()))?;
        for result in ReloadResult::ALL {
            metrics.reloads_total.with_label_values(&[result.as_str()]);
        }
        metrics.taken_over();
        Ok(metrics)
    }

    fn succeeded(&self) {
        self.count(ReloadResult::Success);
        self.taken_over();
    }

    fn failed(&self) {
        self.count(ReloadResult::Failure);
        self.successful.set(0);
    }

    fn count(&self, result: ReloadResult) {
        self.reloads_total.with_label_values(&[result.as_str()]).inc();
    }

    fn taken_over(&self) {
        self.successful.set(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.success_timestamp_seconds.set(now.as_secs_f64());
    }
}
