//! Fallbacks: which lists of providers can be used, and how calls go through them.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, Opts};

use super::{ErrorKind, ProviderError, ProviderSetupError};
use crate::metrics::Registry;

/// A section of the configuration for one provider, with its fallbacks.
pub(crate) trait Section: Sized {
    /// The section's name: `llm`.
    const NAME: &'static str;

    /// The fallbacks, in the order in which they are asked.
    fn fallbacks(&self) -> &[Self];

    /// The section itself and its fallbacks, in the order in which they are asked.
    fn in_order(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.fallbacks())
    }

    /// Whether both have the same provider and model, so that one is no fallback for the other.
    fn has_same_target(&self, other: &Self) -> bool;
}

/// A fallback that can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{section}.fallback {index}, counted from 0: {why}")]
pub struct BadFallback {
    section: &'static str,
    index: usize,
    why: String,
}

impl BadFallback {
    /// The configuration key of the mistake: `llm.fallback.0`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}.fallback.{}", self.section, self.index)
    }
}

/// Checks the list of fallbacks.
///
/// # Errors
/// The first that can't be used, and why.
pub(crate) fn check<T: Section>(first: &T) -> Result<(), BadFallback> {
    let section = T::NAME;
    let all = first.fallbacks();
    for (index, fallback) in all.iter().enumerate() {
        let bad = |why| Err(BadFallback { section, index, why });
        if !fallback.fallbacks().is_empty() {
            return bad(format!(
                "a fallback can't have fallbacks itself; list them all in [[{section}.fallback]]"
            ));
        }
        if first.in_order().take(index + 1).any(|before| fallback.has_same_target(before)) {
            return bad(
                "its provider and model are in the list already; use another of either".to_owned()
            );
        }
    }
    Ok(())
}

/// Who answers calls: one provider and model.
pub(crate) trait Labelled {
    /// The label values of both.
    fn labels(&self) -> [&str; 2];
}

/// Providers that are asked one after the other until one begins to answer. Clones share everything.
pub(crate) struct Chain<B> {
    /// In the order in which they are asked; never empty.
    backends: Arc<[Arc<B>]>,
    metrics: FallbackMetrics,
}

impl<B> Clone for Chain<B> {
    fn clone(&self) -> Self {
        Self { backends: self.backends.clone(), metrics: self.metrics.clone() }
    }
}

impl<B: Labelled> Chain<B> {
    /// The chain of the section `first` and its fallbacks. `build` is told whether a section has a fallback
    /// after it.
    ///
    /// # Errors
    /// The list can't be used, or `build` failed.
    pub(crate) fn new<S: Section>(
        first: &S,
        metrics: &FallbackMetrics,
        build: impl Fn(&S, bool) -> Result<Arc<B>, ProviderSetupError>,
    ) -> Result<Self, ProviderSetupError> {
        check(first).map_err(|bad| ProviderSetupError::Fallback(bad.to_string()))?;
        let last = first.fallbacks().len();
        let backends = first.in_order().enumerate();
        let backends: Arc<[_]> = backends
            .map(|(index, section)| build(section, index < last))
            .collect::<Result<_, _>>()?;
        for pair in backends.windows(2) {
            metrics.create_series(pair[0].labels(), pair[1].labels());
        }
        Ok(Self { backends, metrics: metrics.clone() })
    }

    /// Asks one after the other until one succeeds, or fails in a way that another can't make good.
    ///
    /// # Errors
    /// The error of the last one that was asked.
    pub(crate) async fn ask<T, F>(&self, ask: impl Fn(Arc<B>) -> F) -> Result<T, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>>,
    {
        self.ask_from(0, ask).await.map(|(_, answer)| answer)
    }

    /// The same, but those before `first` are not asked. Returns which one succeeded as well.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask).
    pub(crate) async fn ask_from<T, F>(
        &self,
        first: usize,
        ask: impl Fn(Arc<B>) -> F,
    ) -> Result<(usize, T), ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>>,
    {
        let mut asked = first.min(self.backends.len() - 1);
        let mut result = ask(self.backends[asked].clone()).await;
        for pair in self.backends[asked..].windows(2) {
            let (from, to) = (&pair[0], &pair[1]);
            match &result {
                Err(error) if error.kind.is_fallback_eligible() => {
                    let [next, model] = to.labels();
                    tracing::warn!(
                        %error,
                        call_id = error.call_id,
                        next,
                        model,
                        "the call failed, asking the next provider"
                    );
                    self.metrics.of(from.labels(), to.labels(), error.kind).inc();
                    result = ask(to.clone()).await;
                    asked += 1;
                }
                _ => break,
            }
        }
        result.map(|answer| (asked, answer))
    }
}

/// Calls that went on with the next provider: `llm_fallbacks_total`, `tts_fallbacks_total`.
#[derive(Debug, Clone)]
pub(crate) struct FallbackMetrics(IntCounterVec);

impl FallbackMetrics {
    /// Registers the family.
    ///
    /// # Errors
    /// If a family of the same name is registered already.
    pub(crate) fn register(
        registry: &Registry,
        name: &str,
        help: &str,
    ) -> prometheus::Result<Self> {
        let labels = ["provider", "model", "to_provider", "to_model", "reason"];
        let family = IntCounterVec::new(Opts::new(name, help), &labels)?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self(family))
    }

    /// Creates the series of a fallback at 0. Either side is a provider's label value and its model.
    fn create_series(&self, from: [&str; 2], to: [&str; 2]) {
        for reason in ErrorKind::ALL.into_iter().filter(|kind| kind.is_fallback_eligible()) {
            self.of(from, to, reason);
        }
    }

    fn of(
        &self,
        [from, from_model]: [&str; 2],
        [to, to_model]: [&str; 2],
        reason: ErrorKind,
    ) -> IntCounter {
        self.0.with_label_values(&[from, from_model, to, to_model, reason.as_str()])
    }
}
