use super::*;
use crate::llm::Message;

fn prompt() -> Prompt {
    let line = |role, text: &str| Message { role, text: text.to_owned() };
    Prompt {
        system: "You are the engineer.".to_owned(),
        messages: vec![
            line(Role::Player, "Report!"),
            line(Role::Character, "All is well."),
            line(Role::Player, "And the reactor?"),
        ],
        temperature: 0.8,
        max_tokens: 800,
    }
}

/// Feeds events to a decoder; the last step must be the only one that matters.
fn last_step(events: &[Value]) -> Result<Step, Fault> {
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
        Anthropic.body("claude-haiku-4-5", &prompt()),
        json!({
            "model": "claude-haiku-4-5",
            "max_tokens": 800,
            "temperature": 0.8,
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
    let prompt = Prompt { system: String::new(), ..prompt() };
    assert_eq!(Anthropic.body("m", &prompt).get("system"), None);
}

#[test]
fn headers_carry_version_and_key() {
    let headers = Anthropic.headers(ApiKey::new("sk-ant").as_ref()).unwrap();
    assert_eq!(headers["anthropic-version"], "2023-06-01");
    assert_eq!(headers["x-api-key"], "sk-ant");
    assert!(headers["x-api-key"].is_sensitive());
    assert!(!Anthropic.headers(None).unwrap().contains_key("x-api-key"));
}

#[test]
fn only_text_deltas_are_text() {
    assert_eq!(last_step(&[text_delta("Aye")]), Ok(Step::Text("Aye".to_owned())));
    assert_eq!(last_step(&[text_delta("")]), Ok(Step::Nothing));
    for delta in [
        json!({"type": "thinking_delta", "thinking": "hm"}),
        json!({"type": "signature_delta", "signature": "x"}),
        json!({"type": "input_json_delta", "partial_json": "{"}),
        json!({"type": "a_delta_of_the_future"}),
    ] {
        let event = json!({"type": "content_block_delta", "index": 0, "delta": delta});
        assert_eq!(last_step(&[event]), Ok(Step::Nothing));
    }
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
               "usage": {"output_tokens": 12}}),
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
            reasoning: None,
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
        let fault = last_step(&[text_delta("Aye"), event]).unwrap_err();
        assert_eq!(fault.kind, kind);
        assert_eq!(fault.code.unwrap().as_str(), code);
    }
}

#[test]
fn error_bodies_give_their_code() {
    let body = br#"{"type":"error","error":{"type":"billing_error","message":"private"},
                    "request_id":"req_1"}"#;
    let fault = Anthropic.fault(body);
    assert_eq!(fault.kind, Some(ErrorKind::Quota));
    assert_eq!(fault.code.unwrap().as_str(), "billing_error");
    assert_eq!(Anthropic.fault(b"<html>502</html>"), Fault::UNKNOWN);
}
