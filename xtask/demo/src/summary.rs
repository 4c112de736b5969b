//! What the demo shows: the app's view and the kernel's of the same calls, side by side.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use da_testkit::exposition::Exposition;

use crate::endpoint::{Endpoint, FAMILIES, endpoints};
use crate::players::Noticed;

const LEGEND: &str =
    "Estimated within buckets; a call counts in the kernel once the next one begins.";

/// A scrape, and what the players noticed in the meantime.
pub struct Summary<'a> {
    scrape: &'a Exposition,
    noticed: &'a Noticed,
    endpoints: Vec<Endpoint>,
}

impl<'a> Summary<'a> {
    /// Sums `scrape` up.
    pub fn new(scrape: &'a Exposition, noticed: &'a Noticed) -> Self {
        let endpoints = FAMILIES.iter().flat_map(|family| endpoints(scrape, family)).collect();
        Self { scrape, noticed, endpoints }
    }

    /// Whether a call to a language model and one to a voice succeeded.
    pub fn calls_were_made(&self) -> bool {
        FAMILIES.iter().all(|family| family.succeeded(self.scrape))
    }

    /// Why there is no kernel view, as the label says it; `None` if there is one.
    pub fn kernel_view_missing(&self) -> Option<String> {
        if self.scrape.sum("digital_actors_ebpf_up", &[]) == Some(1.0) {
            return None;
        }
        let reasons = self.scrape.values_of("digital_actors_ebpf_unavailable", &[], "reason");
        Some(reasons.into_iter().next().unwrap_or_else(|| "not in this build".to_owned()))
    }

    /// All of it, a line each, none longer than 80 characters.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.game_line(), self.kernel_line()];
        for endpoint in &self.endpoints {
            lines.push(String::new());
            lines.extend(endpoint.lines());
        }
        lines.push(LEGEND.to_owned());
        lines
    }

    /// The essence in one line.
    pub fn line(&self) -> String {
        let mut line = self.game_line();
        for endpoint in &self.endpoints {
            let _ = write!(line, "; {}", endpoint.line());
        }
        let _ = write!(line, "; {}", self.kernel_line());
        line
    }

    fn game_line(&self) -> String {
        let Noticed { answers, audio_bytes, errors } = self.noticed;
        format!(
            "{} players, {} answers, {:.1} MB of audio, {} errors",
            self.scrape.total("digital_actors_active_sessions", &[]),
            answers.load(Ordering::Relaxed),
            audio_bytes.load(Ordering::Relaxed) as f64 / 1e6,
            errors.load(Ordering::Relaxed),
        )
    }

    fn kernel_line(&self) -> String {
        if let Some(reason) = self.kernel_view_missing() {
            return format!("ebpf_up 0: {reason}");
        }
        let lost = "digital_actors_ebpf_lost_total";
        let total = self.scrape.total(lost, &[]);
        let reasons = self.scrape.values_of(lost, &[], "reason").join(", ");
        let why = if reasons.is_empty() { String::new() } else { format!(" ({reasons})") };
        format!("ebpf_up 1, lost {total}{why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = r#"
digital_actors_active_sessions 3
digital_actors_ebpf_up 1
digital_actors_ebpf_lost_total{reason="ring_full"} 2
digital_actors_ebpf_lost_total{reason="recursion"} 0
digital_actors_llm_attempt_seconds_count{provider="anthropic",outcome="success"} 4
digital_actors_llm_attempt_seconds_count{provider="anthropic",outcome="timeout"} 1
digital_actors_llm_attempt_seconds_count{provider="anthropic",outcome="cancelled"} 2
digital_actors_llm_attempt_seconds_bucket{provider="anthropic",outcome="success",le="2"} 4
digital_actors_llm_attempt_seconds_bucket{provider="anthropic",outcome="success",le="+Inf"} 4
digital_actors_tts_attempt_seconds_count{provider="elevenlabs",outcome="success"} 0
digital_actors_socket_exchanges_total{kind="llm",outcome="ok",provider="anthropic"} 5
digital_actors_socket_connect_seconds_bucket{kind="llm",provider="anthropic",le="0.0001"} 2
digital_actors_socket_connect_seconds_bucket{kind="llm",provider="anthropic",le="+Inf"} 2
digital_actors_socket_exchanges_total{kind="llm",outcome="ok",provider="openai"} 7
"#;

    #[test]
    fn both_views_of_an_endpoint_stand_side_by_side() {
        let scrape = Exposition(SCRAPE.to_owned());
        let noticed = Noticed::default();
        let text = Summary::new(&scrape, &noticed).lines().join("\n");
        let row = |what: &str| {
            let found = text.lines().find(|line| line.trim_start().starts_with(what));
            found.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(row("calls"), "calls 7 (1 failed) 5");
        assert_eq!(row("connect"), "connect 50.0 / 95.0 µs");
        assert_eq!(row("whole"), "whole call 1.00 / 1.90 s");
        assert_eq!(row("3 players"), "3 players, 0 answers, 0.0 MB of audio, 0 errors");
        assert_eq!(row("ebpf_up"), "ebpf_up 1, lost 2 (ring_full)");
        assert!(text.contains("\nopenai "), "called by another process: {text}");
        assert!(!text.contains("elevenlabs"), "never called: {text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn calls_count_once_both_kinds_succeeded() {
        let noticed = Noticed::default();
        let without_voice = Exposition(SCRAPE.to_owned());
        assert!(!Summary::new(&without_voice, &noticed).calls_were_made());
        let with_voice = SCRAPE.replace("\"success\"} 0", "\"success\"} 1");
        let with_voice = Exposition(with_voice);
        assert!(Summary::new(&with_voice, &noticed).calls_were_made());
    }

    #[test]
    fn a_missing_kernel_view_says_why() {
        let scrape = Exposition(
            "digital_actors_ebpf_up 0\n\
             digital_actors_ebpf_unavailable{reason=\"not_built\"} 0\n\
             digital_actors_ebpf_unavailable{reason=\"missing_capability\"} 1\n"
                .to_owned(),
        );
        let noticed = Noticed::default();
        let summary = Summary::new(&scrape, &noticed);
        assert_eq!(summary.kernel_view_missing().as_deref(), Some("missing_capability"));
        assert!(summary.line().ends_with("ebpf_up 0: missing_capability"), "{}", summary.line());
    }
}
