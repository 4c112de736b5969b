//! What tokens cost: a list that is built in, and `[[price]]` laid over it.

use serde::Deserialize;

use super::Usage;

/// The prices every installation knows.
const PRICES: &str = include_str!("../../prices.toml");

const TOKENS_PER_PRICE: f64 = 1e6;

/// `[[price]]`: what a model's tokens cost, US dollars per million.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// Whose it is: the value of the label `provider`.
    pub provider: String,
    /// The model's name, without the date of a snapshot.
    pub model: String,
    /// Prompt tokens.
    pub input: f64,
    /// Answer tokens, hidden reasoning too.
    pub output: f64,
    /// Prompt tokens read from the provider's cache. Default: as `input`.
    pub cache_read: Option<f64>,
    /// Prompt tokens written to the provider's cache. Default: as `input`.
    pub cache_write: Option<f64>,
}

/// A price list that can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PriceError {
    /// A price is out of range.
    #[error("price of {0:?}: use dollars per million tokens, 0 to 1000000")]
    Amount(String),
    /// Two `[[price]]` sections of one file are of the same model.
    #[error("price of {0:?} is listed twice")]
    Duplicate(String),
}

/// A price of a list that can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{why}")]
pub struct BadPrice {
    /// Which, counted from 0.
    pub index: usize,
    /// Why it can't be used.
    pub why: PriceError,
}

impl BadPrice {
    /// The key of what is wrong: `price.0`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("price.{}", self.index)
    }
}

/// Everything whose price is known.
#[derive(Debug, Clone)]
pub struct Prices(Vec<PriceConfig>);

impl Prices {
    /// The built-in prices with `own` laid over them: one of the same provider and model is
    /// replaced.
    ///
    /// # Errors
    /// The first entry of `own` that can't be used, and why.
    pub fn with(own: &[PriceConfig]) -> Result<Self, BadPrice> {
        for (index, price) in own.iter().enumerate() {
            let bad = |why| BadPrice { index, why };
            if !price.is_payable() {
                return Err(bad(PriceError::Amount(price.model.clone())));
            }
            if own[..index].iter().any(|earlier| earlier.is_of_the_same(price)) {
                return Err(bad(PriceError::Duplicate(price.model.clone())));
            }
        }
        let mut all = built_in();
        all.retain(|known| own.iter().all(|price| !price.is_of_the_same(known)));
        all.extend_from_slice(own);
        Ok(Self(all))
    }

    /// What a model costs, if that is known; of a dated snapshot what its model does.
    pub(super) fn of(&self, provider: &str, model: &str) -> Option<&PriceConfig> {
        let named = |name: &str| {
            self.0.iter().find(|price| price.provider == provider && price.model == name)
        };
        named(model).or_else(|| named(without_date(model)))
    }
}

impl PriceConfig {
    /// Dollars for the tokens of one answer, as far as the provider told.
    pub(super) fn of_usage(&self, usage: &Usage) -> f64 {
        let read = usage.cache_read.unwrap_or(0);
        let written = usage.cache_write.unwrap_or(0);
        // Both are parts of input, whichever way the provider counts.
        let fresh = usage.input.unwrap_or(0).saturating_sub(read).saturating_sub(written);
        let cost = |tokens: u64, price: f64| tokens as f64 * price / TOKENS_PER_PRICE;
        cost(fresh, self.input)
            + cost(read, self.cache_read.unwrap_or(self.input))
            + cost(written, self.cache_write.unwrap_or(self.input))
            + cost(usage.output.unwrap_or(0), self.output)
    }

    fn is_payable(&self) -> bool {
        let amounts = [Some(self.input), Some(self.output), self.cache_read, self.cache_write];
        amounts.into_iter().flatten().all(|amount| (0.0..=1e6).contains(&amount))
    }

    fn is_of_the_same(&self, other: &Self) -> bool {
        (&self.provider, &self.model) == (&other.provider, &other.model)
    }
}

#[derive(Deserialize)]
struct List {
    price: Vec<PriceConfig>,
}

fn built_in() -> Vec<PriceConfig> {
    // The file is part of the binary; the test below is what keeps this from ever being empty.
    toml::from_str::<List>(PRICES).map_or_else(|_| Vec::new(), |list| list.price)
}

/// `claude-haiku-4-5` of `claude-haiku-4-5-20251001`, `gpt-4.1` of `gpt-4.1-2025-04-14`.
fn without_date(model: &str) -> &str {
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let is_date = |text: &str| {
        digits(text) == 8 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    };
    let dated = |length: usize| {
        let (name, date) = model.split_at_checked(model.len().checked_sub(length)?)?;
        Some(name).filter(|_| date.starts_with('-') && is_date(&date[1..]))
    };
    dated("-20251001".len()).or_else(|| dated("-2025-10-01".len())).unwrap_or(model)
}

#[cfg(test)]
mod tests;
