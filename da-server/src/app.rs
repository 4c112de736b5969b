//! Everything one server holds, handed to each room instead of globals.

use crate::config::Config;
use crate::metrics::{ErrorMetrics, Metrics};

/// One server's parts.
#[derive(Debug)]
pub struct App {
    /// What the operator said.
    pub config: Config,
    /// The registry and its exposition.
    pub metrics: Metrics,
    /// `errors_total`.
    pub errors: ErrorMetrics,
}

impl App {
    /// Builds every part.
    ///
    /// # Errors
    /// A part can't be built from `config`.
    pub async fn new(config: Config, metrics: Metrics) -> anyhow::Result<Self> {
        let errors = ErrorMetrics::register(metrics.registry())?;
        Ok(Self { config, metrics, errors })
    }
}
