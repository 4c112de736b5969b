//! Upper bucket edges of the application's histograms, in seconds; the kernel view's are in
//! `da_ebpf_common::histogram`, with all of these among them.
//!
//! Edges may be added, never removed: dashboards and alerts put their thresholds on them.

/// A player's turn, from message received to last byte handed over.
pub const RESPONSE_SECONDS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

/// From a player's message to the first audio of the answer: fine where people notice a difference.
pub const FIRST_AUDIO_SECONDS: &[f64] = &[
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 30.0,
    60.0,
];

/// One stage of a turn.
pub const TURN_STAGE_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

/// The wait for a turn; the pauses between lines are 0.3, 1, 2 and 3 s.
pub const QUEUE_WAIT_SECONDS: &[f64] =
    &[0.01, 0.1, 0.31, 0.5, 1.01, 2.01, 3.01, 5.0, 10.0, 30.0, 60.0];

/// A logical LLM call, retries included.
pub const LLM_SECONDS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

/// A logical TTS call, to its last audio byte.
pub const TTS_SECONDS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0];

/// From the start of an attempt to its first token or audio byte: the edges of OTel GenAI's
/// `gen_ai.server.time_to_first_token`.
pub const FIRST_CONTENT_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// From one output token to the next: the edges of OTel GenAI's
/// `gen_ai.server.time_per_output_token`.
pub const OUTPUT_TOKEN_SECONDS: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// Synthesis time / seconds of audio.
pub const REAL_TIME_FACTORS: &[f64] = &[0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0];

/// How far audio was ahead of its playing; at or below 0 there was a pause.
pub const MARGIN_SECONDS: &[f64] =
    &[-5.0, -2.0, -1.0, -0.5, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// How late the event loop is; its timers are good to a millisecond.
pub const EVENT_LOOP_SECONDS: &[f64] =
    &[0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// A phase of a call: 1-2.5-5 steps, as the kernel view's, from where a phase begins to matter.
pub const CALL_PHASE_SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 25.0, 50.0, 100.0,
];

/// One database query.
pub const DB_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_rise() {
        for edges in [
            RESPONSE_SECONDS,
            FIRST_AUDIO_SECONDS,
            TURN_STAGE_SECONDS,
            QUEUE_WAIT_SECONDS,
            LLM_SECONDS,
            TTS_SECONDS,
            FIRST_CONTENT_SECONDS,
            OUTPUT_TOKEN_SECONDS,
            REAL_TIME_FACTORS,
            MARGIN_SECONDS,
            EVENT_LOOP_SECONDS,
            CALL_PHASE_SECONDS,
            DB_SECONDS,
        ] {
            assert!(edges.is_sorted_by(|a, b| a < b), "{edges:?}");
        }
    }
}
