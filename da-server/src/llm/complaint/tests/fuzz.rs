//! Random bodies of errors, for all that reads them.

use serde_json::{Map, json};

use super::*;
use crate::fuzzing::{Chance, going_on};
use crate::llm::{LlmConfig, LlmProtocol};
use crate::provider::RetryAdvice;

const NAMES: [&str; 16] = [
    "error",
    "errors",
    "message",
    "code",
    "type",
    "status",
    "param",
    "loc",
    "detail",
    "details",
    "metadata",
    "retry_after",
    "retry_after_ms",
    "retryDelay",
    "object",
    "input",
];

const WORDS: [&str; 24] = [
    "temperature",
    "max_tokens",
    "stream_options",
    " is not supported",
    "unknown field ",
    "maximum context length",
    "prompt is too long",
    "context_length_exceeded",
    "insufficient_quota",
    "rate_limit_error",
    "invalid_request_error",
    "overloaded_error",
    "429",
    "500",
    "try again in ",
    "1m26.4s",
    "898ms",
    "34.07s",
    "-3s",
    " ",
    ".",
    "é🐙",
    "_",
    "credit balance is too low",
];

fn value(chance: &mut Chance, depth: usize) -> Value {
    match chance.below(if depth == 0 { 5 } else { 9 }) {
        0 => Value::Null,
        1 => json!(chance.below(700)),
        2 => json!([-1.0, 0.25, 1e300, 9.9e18][chance.below(4)]),
        3 => json!(chance.one_of(&WORDS)),
        4 => json!(chance.words(&WORDS, 4)),
        5 => (0..chance.below(3)).map(|_| value(chance, depth - 1)).collect(),
        _ => {
            let members = 1 + chance.below(3);
            let member = |_| (chance.one_of(&NAMES).to_owned(), value(chance, depth - 1));
            Value::Object((0..members).map(member).collect::<Map<_, _>>())
        }
    }
}

/// Mostly of the form that most have.
fn error(chance: &mut Chance) -> Value {
    match chance.below(3) {
        0 => value(chance, 4),
        _ => json!({"type": "error", "error": {
            "type": value(chance, 0), "code": value(chance, 0), "message": value(chance, 1),
            "details": value(chance, 2)}}),
    }
}

#[test]
fn random_errors_are_read_for_no_more_than_they_say() {
    let (mut chance, going_on) = (Chance::new(), going_on(0.1));
    let wires = [LlmProtocol::Anthropic, LlmProtocol::OpenAi, LlmProtocol::Google]
        .map(|protocol| LlmConfig { protocol, ..LlmConfig::default() }.wire().expect("a wire"));
    let (mut bodies, mut kinds, mut complaints, mut pauses) = (0, 0, 0, 0);
    while going_on() {
        let body = error(&mut chance).to_string().into_bytes();
        let body = if chance.below(3) == 0 { chance.mutated(body) } else { body };
        let text = String::from_utf8_lossy(&body).to_lowercase();
        for wire in &wires {
            let reported = wire.parse_error(&body);
            kinds += usize::from(reported.kind.is_some());
            if let Some(code) = &reported.code {
                let code = code.as_str();
                assert!(text.contains(code) && code.len() <= 64, "{code} of {text}");
            }
        }
        let status = [200, 400, 413, 422, 429, 500][chance.below(6)];
        match complaint(status, &body, &[Parameter::Temperature, Parameter::MaxTokens]) {
            Some(Complaint::TooLong) if status != 413 => {
                let mut known = TOO_LONG.iter().chain(&LENGTHS);
                assert!(known.any(|words| text.contains(words)), "{text}");
            }
            Some(Complaint::Parameter(parameter)) => {
                assert!(text.contains(parameter.as_str()), "{parameter:?} in {text}");
                assert_ne!(parameter, Parameter::StreamOptions, "it was not sent");
                complaints += 1;
            }
            _ => {}
        }
        if RetryAdvice::default().or_from_body(&body).after.is_some() {
            assert!(text.contains("retry") || text.contains("try again in "), "{text}");
            pauses += 1;
        }
        bodies += 1;
    }
    println!("{bodies} bodies: {kinds} kinds, {complaints} complaints, {pauses} pauses");
    assert!(kinds > 0 && complaints > 0 && pauses > 0, "they are not random noise alone");
}
