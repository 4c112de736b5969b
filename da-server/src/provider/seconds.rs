//! Durations in configuration files: a number of seconds under a key that ends in `_seconds`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// Nothing here waits longer, and no clock overflows by it.
const MAX_SECONDS: f64 = 86_400.0;

/// Reads `0.5` as 500 ms. What is negative, no number or more than a day is refused.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(source)?;
    if !(0.0..=MAX_SECONDS).contains(&seconds) {
        return Err(D::Error::custom(format!("{seconds}: use 0 to {MAX_SECONDS} seconds")));
    }
    Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
}

/// What is no time at all for an answer from anywhere.
const MIN_LIMIT_SECONDS: f64 = 0.001;

/// For limits on how long something may take: none of them may be 0, which nothing would keep.
pub(crate) mod limit {
    use super::*;

    /// As [`super::deserialize`], and refuses what is less than a millisecond.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
        let limit = super::deserialize(source)?;
        if limit.as_secs_f64() < MIN_LIMIT_SECONDS {
            let seconds = limit.as_secs_f64();
            let allowed = format!("use {MIN_LIMIT_SECONDS} to {MAX_SECONDS} seconds");
            return Err(D::Error::custom(format!("{seconds}: {allowed}")));
        }
        Ok(limit)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use figment::{
        Figment,
        providers::{Format, Toml},
    };
    use serde::de::DeserializeOwned;

    use super::*;

    /// Reads a section the way the server's configuration does.
    pub(crate) fn read<T: DeserializeOwned>(toml: &str) -> Result<T, String> {
        Figment::from(Toml::string(toml))
            .extract()
            .map_err(|error: figment::Error| error.to_string())
    }

    #[derive(Deserialize)]
    struct Sample {
        #[serde(rename = "wait_seconds", with = "super")]
        wait: Duration,
    }

    #[test]
    fn reads_fractions_and_whole_numbers() {
        let half: Sample = read("wait_seconds = 0.5").unwrap();
        assert_eq!(half.wait, Duration::from_millis(500));
        let two: Sample = read("wait_seconds = 2").unwrap();
        assert_eq!(two.wait, Duration::from_secs(2));
    }

    #[derive(Debug, Deserialize)]
    struct Limited {
        #[serde(rename = "wait_seconds", with = "super::limit")]
        wait: Duration,
    }

    #[test]
    fn a_limit_that_nothing_keeps_is_refused() {
        for seconds in ["0", "0.0", "0.0005", "1e-12"] {
            let said = read::<Limited>(&format!("wait_seconds = {seconds}")).expect_err(seconds);
            assert!(said.contains("use 0.001 to 86400 seconds"), "{said}");
        }
        let limited: Limited = read("wait_seconds = 0.001").expect("a limit");
        assert_eq!(limited.wait, Duration::from_millis(1));
    }

    #[test]
    fn refuses_what_no_clock_can_wait_for() {
        for seconds in ["-1.0", "nan", "inf", "1e18", "86401"] {
            let said = read::<Sample>(&format!("wait_seconds = {seconds}")).err();
            assert!(said.is_some_and(|said| said.contains("use 0 to 86400 seconds")), "{seconds}");
        }
    }
}
