//! Settings that are valid, and yet may not be what was meant.

use super::Config;

impl Config {
    /// Warnings for the log.
    pub fn warnings(&self) -> Vec<String> {
        let (sessions, starts) = (self.websocket.max_sessions, self.websocket.starts_per_minute);
        let slow = usize::try_from(starts).is_ok_and(|starts| starts < sessions);
        slow.then(|| {
            format!(
                "websocket.starts_per_minute = {starts} is less than websocket.max_sessions = {sessions}: \
                 when all players come back at once, as after a restart, some wait for more than a minute"
            )
        })
        .into_iter()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_takes_long_to_fill_again_is_spoken_of() {
        let mut config = Config::default();
        assert_eq!(
            config.warnings(),
            Vec::<String>::new(),
            "of the defaults there is nothing to say"
        );
        config.websocket.max_sessions = 600;
        assert_eq!(config.warnings().len(), 0);
        config.websocket.max_sessions = 601;
        let warnings = config.warnings().join("");
        assert!(
            warnings.contains("starts_per_minute = 600") && warnings.contains("601"),
            "{warnings}"
        );
    }
}
