//! One model of one provider, and what its answers teach.

use super::longest::Longest;
use super::metrics::ModelMetrics;
use super::parameter::Learned;
use crate::provider::ProviderName;
use crate::provider::fallback::Labelled;

pub(super) struct Model {
    pub(super) provider: ProviderName,
    pub(super) name: String,
    /// Parameters that it has refused.
    pub(super) refused: Learned,
    pub(super) longest: Longest,
    pub(super) metrics: ModelMetrics,
}

impl Labelled for Model {
    fn labels(&self) -> [&str; 2] {
        [&self.provider, &self.name]
    }
}
