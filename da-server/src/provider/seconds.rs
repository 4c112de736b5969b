//! Durations in configuration files: a number of seconds under a key that ends in `_seconds`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// Reads `0.5` as 500 ms. Negative, infinite and absurdly large numbers are refused.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(source)?).map_err(D::Error::custom)
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

    #[test]
    fn refuses_negative_numbers() {
        assert!(read::<Sample>("wait_seconds = -1.0").is_err());
    }
}
