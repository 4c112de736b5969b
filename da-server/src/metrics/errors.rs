//! `errors_total`: the failures of all modules in one family.

use prometheus::{IntCounterVec, Opts};

use super::{ErrorType, Registry};

/// Counts failures. The module that handles a failure counts it, so each counts once.
#[derive(Debug, Clone)]
pub struct ErrorMetrics {
    total: IntCounterVec,
}

impl ErrorMetrics {
    /// Registers the family with every [`ErrorType`] at 0.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let opts = Opts::new("errors_total", "Failures by type; each failure counts once.");
        let total = IntCounterVec::new(opts, &["error_type"])?;
        for error_type in ErrorType::ALL {
            total.with_label_values(&[error_type.as_str()]);
        }
        registry.register(Box::new(total.clone()))?;
        Ok(Self { total })
    }

    /// One failure happened.
    pub fn count(&self, error_type: ErrorType) {
        self.total.with_label_values(&[error_type.as_str()]).inc();
    }
}
