use super::*;
use crate::llm::{Message, parameter::Refused};

const NEWEST: Anthropic = Anthropic { auth: Auth::Bearer, version: None };

fn body(system: &str, temperature: Option<f64>) -> Value {
    let line = |role, text: &str| Message { role, text: text.to_owned() };
    NEWEST.body(&Request {
        model: "claude-haiku-5-5",
        system,
        messages: &[
            line(Role::Player, "Report!"),
            line(Role::Character, "All is well."),
            line(Role::Player, "And the reactor?"),
        ],
        temperature,
        max_tokens: 800,
        refused: Refused::default(),
    })
}

/// Feeds events to a decoder; the last step must be the only one that matters.
fn last_step(events: &[Value]) -> Result<Step, ReportedError> {
    let mut decoder = AnthropicDecoder::default();
    let (last, before) = events.split_last().expect("events");
    for event in before {
        decoder.step(&event.to_string())?;
    }
    decoder.step(&last.to_string())
}

fn done(events: &[Value]) -> Completion {
    match last_step(events) {
        Ok(Step::Done(completion)) => completion,
        other => panic!("{other:?}"),
    }
}

fn text_delta(text: &str) -> Value {
    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
}

#[test]
fn body_is_a_streamed_messages_request() {
    assert_eq!(
        body("You are the engineer.", None),
        json!({
            "model": "claude-haiku-5-5",
            "max_tokens": 800,
            "system": "You are the engineer.",
            "messages": [
                {"role": "user", "content": "Report!"},
                {"role": "assistant", "content": "All is well."},
                {"role": "user", "content": "And the reactor?"},
            ],
            "stream": true,
        })
    );
}

#[test]
fn an_empty_system_prompt_is_left_out() {
    assert_eq!(body("", None).get("system"), None);
}

#[test]
fn the_temperature_is_sent_if_somebody_asked_for_it() {
    assert_eq!(body("", Some(0.8))["temperature"], 0.8);
}

#[test]
fn headers_carry_version_and_key() {
    let key = ApiKey::new("sk-ant");
    let headers = NEWEST.headers(key.as_ref()).unwrap();
    assert_eq!(headers["anthropic-version"], "2026-10-21");
    assert_eq!(headers[AUTHORIZATION], "Bearer sk-ant");
    assert!(headers[AUTHORIZATION].is_sensitive());
    assert!(!headers.contains_key("x-api-key"));
    assert!(!NEWEST.headers(None).unwrap().contains_key(AUTHORIZATION));
    let older = Anthropic { auth: Auth::XApiKey, version: None }.headers(key.as_ref()).unwrap();
    assert_eq!(older["anthropic-version"], "2023-06-01");
    assert_eq!(older["x-api-key"], "sk-ant");
    assert!(older["x-api-key"].is_sensitive());
    assert!(!older.contains_key(AUTHORIZATION));
}

#[test]
fn the_version_may_be_another() {
    let speaking = |version: &str| Anthropic { version: Some(version.to_owned()), ..NEWEST };
    assert_eq!(speaking("2027-01-01").headers(None).unwrap()["anthropic-version"], "2027-01-01");
    assert!(speaking("2027\n").headers(None).is_err());
}

#[test]
fn an_account_without_credit_is_told_by_its_sentence() {
    let body = |message: &str| {
        let error = json!({"type": "invalid_request_error", "message": message});
        json!({"type": "error", "error": error}).to_string()
    };
    let kind = |message: &str| NEWEST.parse_error(body(message).as_bytes()).kind;
    let words = "Your credit balance is too low to access the Anthropic API.";
    assert_eq!(kind(words), Some(ErrorKind::Quota));
    assert_eq!(kind("messages: Field required"), Some(ErrorKind::InvalidRequest));
}

#[test]
fn only_text_deltas_are_text() {
    assert_eq!(last_step(&[text_delta("Aye")]), Ok(Step::Text("Aye".to_owned())));
    assert_eq!(last_step(&[text_delta("")]), Ok(Step::Nothing));
    for delta in [
        json!({"type": "input_json_delta", "partial_json": "{"}),
        json!({"type": "a_delta_of_the_future"}),
    ] {
        let event = json!({"type": "content_block_delta", "index": 0, "delta": delta});
        assert_eq!(last_step(&[event]), Ok(Step::Nothing));
    }
    for delta in [
        json!({"type": "thinking_delta", "thinking": "hm"}),
        json!({"type": "signature_delta", "signature": "x"}),
    ] {
        let event = json!({"type": "content_block_delta", "index": 0, "delta": delta});
        assert_eq!(last_step(&[event]), Ok(Step::Thought));
    }
    let block =
        json!({"type": "content_block_start", "content_block": {"type": "text", "text": "A"}});
    assert_eq!(last_step(&[block]), Ok(Step::Text("A".to_owned())));
}

#[test]
fn a_reason_to_stop_completes_the_answer_and_nothing_takes_it_back() {
    let mut decoder = AnthropicDecoder::default();
    let mut step = |event: Value| {
        let told = event["delta"]["stop_reason"].is_string();
        let expected = if told { Step::Stop } else { Step::Nothing };
        assert_eq!(decoder.step(&event.to_string()), Ok(expected));
        decoder.completion().map(|completion| completion.stop_reason)
    };
    assert_eq!(step(json!({"type": "message_delta", "delta": {"stop_reason": null}})), None);
    assert_eq!(step(json!({"type": "message_delta", "delta": null, "usage": null})), None);
    let refusal = json!({"stop_reason": "refusal", "stop_details": {"type": "refusal"}});
    let refused = json!({"type": "message_delta", "delta": refusal, "usage": null});
    assert_eq!(step(refused), Some(StopReason::Refusal));
    let later = json!({"type": "message_delta", "delta": {"stop_reason": null}});
    assert_eq!(step(later), Some(StopReason::Refusal));
}

#[test]
fn what_gateways_add_or_null_does_no_harm() {
    for data in ["", " ", "null", "7", "{}", r#"{"type":7}"#, r#"{"type":"message_start"}"#] {
        assert_eq!(AnthropicDecoder::default().step(data), Ok(Step::Nothing), "{data}");
    }
    let end = AnthropicDecoder::default().step("[DONE]");
    assert!(matches!(end, Ok(Step::Done(_))), "{end:?}");
    let untyped = last_step(&[json!({"error": {"type": "overloaded_error"}})]);
    assert_eq!(untyped.unwrap_err().kind, Some(ErrorKind::Overloaded));
    let sentence = last_step(&[json!({"type": "error", "error": "busy"})]);
    assert_eq!(sentence, Err(ReportedError::UNKNOWN));
}

#[test]
fn pings_and_unknown_events_are_passed_over() {
    for event in [
        json!({"type": "ping"}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "an_event_of_the_future", "error": 1}),
    ] {
        assert_eq!(last_step(&[event]), Ok(Step::Nothing));
    }
}

#[test]
fn usage_is_a_running_total_and_input_holds_what_was_cached() {
    let completion = done(&[
        json!({"type": "message_start", "message": {"usage": {
            "input_tokens": 10, "output_tokens": 1,
            "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000}}}),
        text_delta("Aye"),
        json!({"type": "message_delta", "delta": {"stop_reason": null},
               "usage": {"output_tokens": 5}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
               "usage": {"output_tokens": 12, "output_tokens_details": {"thinking_tokens": 4}}}),
        json!({"type": "message_stop"}),
    ]);
    assert_eq!(completion.stop_reason, StopReason::EndTurn);
    assert_eq!(
        completion.usage,
        Usage {
            input: Some(3210),
            output: Some(12),
            cache_read: Some(3000),
            cache_write: Some(200),
            reasoning: Some(4),
        }
    );
}

#[test]
fn missing_usage_is_absent_not_zero() {
    let completion = done(&[
        json!({"type": "message_start", "message": {}}),
        text_delta("Aye"),
        json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}),
        json!({"type": "message_stop"}),
    ]);
    assert_eq!(completion.stop_reason, StopReason::MaxTokens);
    assert_eq!(completion.usage, Usage::default());
}

#[test]
fn an_unknown_stop_reason_is_other() {
    let completion = done(&[
        json!({"type": "message_delta", "delta": {"stop_reason": "bored"}}),
        json!({"type": "message_stop"}),
    ]);
    assert_eq!(completion.stop_reason, StopReason::Other);
}

#[test]
fn an_error_event_is_a_fault_of_its_kind() {
    for (code, kind) in [
        ("overloaded_error", Some(ErrorKind::Overloaded)),
        ("rate_limit_error", Some(ErrorKind::RateLimited)),
        ("api_error", Some(ErrorKind::Server)),
        ("invalid_request_error", Some(ErrorKind::InvalidRequest)),
        ("error_of_the_future", None),
    ] {
        let event = json!({"type": "error", "error": {"type": code, "message": "private"}});
        let reported = last_step(&[text_delta("Aye"), event]).unwrap_err();
        assert_eq!(reported.kind, kind);
        assert_eq!(reported.code.unwrap().as_str(), code);
    }
}

#[test]
fn error_bodies_give_their_code() {
    let body = br#"{"type":"error","error":{"type":"billing_error","message":"private"},
                    "request_id":"req_1"}"#;
    let reported = NEWEST.parse_error(body);
    assert_eq!(reported.kind, Some(ErrorKind::Quota));
    assert_eq!(reported.code.unwrap().as_str(), "billing_error");
    assert_eq!(NEWEST.parse_error(b"<html>502</html>"), ReportedError::UNKNOWN);
}
