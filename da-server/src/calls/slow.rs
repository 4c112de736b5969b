//! The log of slow calls: one line each, with where the time went.

use super::{Call, Phase};

/// Logs a slow call.
pub fn log(call: &Call) {
    let phases = call.phases();
    let ms = |phase| phases.ns(phase) as f64 / 1e6;
    tracing::warn!(
        call_id = call.id,
        kind = call.kind.as_str(),
        provider = call.provider,
        model = call.model.as_deref(),
        outcome = call.outcome.as_str(),
        attempts = call.attempts.len(),
        join = call.attempts.last().map(|attempt| attempt.join.as_str()),
        duration_ms = call.duration_ns as f64 / 1e6,
        back_off_ms = call.back_off_ns() as f64 / 1e6,
        queue_ms = ms(Phase::Queue),
        dns_ms = ms(Phase::Dns),
        connect_ms = ms(Phase::Connect),
        tls_ms = ms(Phase::Tls),
        send_ms = ms(Phase::Send),
        wait_ms = ms(Phase::Wait),
        pickup_ms = ms(Phase::Pickup),
        first_token_ms = ms(Phase::FirstToken),
        stream_ms = ms(Phase::Stream),
        unexplained_ms = ms(Phase::Unexplained),
        "slow call"
    );
}
