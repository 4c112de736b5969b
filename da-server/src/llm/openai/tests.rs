use super::*;
use crate::llm::Message;

const COMPATIBLE: OpenAi = OpenAi { hosted: false };

fn prompt() -> Prompt {
    Prompt {
        system: "You are the engineer.".to_owned(),
        messages: vec![
            Message { role: Role::Character, text: "Welcome aboard.".to_owned() },
            Message { role: Role::Player, text: "Report!".to_owned() },
        ],
        temperature: 0.2,
        max_tokens: 200,
    }
}

/// Feeds events to a decoder and returns what the last one gave.
fn last_step(events: &[&str]) -> Result<Step, Fault> {
    let mut decoder = OpenAiDecoder::default();
    let (last, before) = events.split_last().expect("events");
    for event in before {
        decoder.step(event)?;
    }
    decoder.step(last)
}

fn done(events: &[&str]) -> Completion {
    match last_step(events) {
        Ok(Step::Done(completion)) => completion,
        other => panic!("{other:?}"),
    }
}

#[test]
fn body_is_a_streamed_chat_request_with_usage() {
    assert_eq!(
        COMPATIBLE.body("llama3", &prompt()),
        json!({
            "model": "llama3",
            "max_tokens": 200,
            "temperature": 0.2,
            "messages": [
                {"role": "system", "content": "You are the engineer."},
                {"role": "assistant", "content": "Welcome aboard."},
                {"role": "user", "content": "Report!"},
            ],
            "stream": true,
            "stream_options": {"include_usage": true},
        })
    );
}

#[test]
fn the_token_limit_has_the_name_that_the_server_knows() {
    let hosted = OpenAi { hosted: true }.body("gpt-4.1-mini", &prompt());
    assert_eq!(hosted["max_completion_tokens"], 200);
    assert_eq!(hosted.get("max_tokens"), None);
}

#[test]
fn the_key_is_a_bearer_token() {
    let headers = COMPATIBLE.headers(ApiKey::new("sk-1").as_ref()).unwrap();
    assert_eq!(headers[AUTHORIZATION], "Bearer sk-1");
    assert!(headers[AUTHORIZATION].is_sensitive());
    assert!(COMPATIBLE.headers(None).unwrap().is_empty());
}

#[test]
fn role_markers_and_empty_deltas_are_no_text() {
    for chunk in [
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#,
        r#"{"choices":[{"index":0,"delta":null,"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":null}"#,
        r#"{"object":"something of the future"}"#,
    ] {
        assert_eq!(last_step(&[chunk]), Ok(Step::Nothing), "{chunk}");
    }
}

#[test]
fn text_may_come_with_the_finish_reason() {
    let chunk = r#"{"choices":[{"index":0,"delta":{"content":"Aye"},"finish_reason":"length"}]}"#;
    assert_eq!(last_step(&[chunk]), Ok(Step::Text("Aye".to_owned())));
    assert_eq!(done(&[chunk, "[DONE]"]).stop_reason, StopReason::MaxTokens);
}

#[test]
fn usage_comes_from_the_extra_chunk() {
    let completion = done(&[
        r#"{"choices":[{"index":0,"delta":{"content":"Aye"}}],"usage":null}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":30,"total_tokens":130,
            "prompt_tokens_details":{"cached_tokens":64},
            "completion_tokens_details":{"reasoning_tokens":20}}}"#,
        "[DONE]",
    ]);
    assert_eq!(completion.stop_reason, StopReason::EndTurn);
    assert_eq!(
        completion.usage,
        Usage {
            input: Some(100),
            output: Some(30),
            cache_read: Some(64),
            cache_write: None,
            reasoning: Some(20),
        }
    );
}

#[test]
fn missing_usage_is_absent_not_zero() {
    let text = r#"{"choices":[{"index":0,"delta":{"content":"Aye"}}]}"#;
    assert_eq!(done(&[text, "[DONE]"]).usage, Usage::default());
}

#[test]
fn a_reason_without_done_is_not_the_end() {
    let chunk = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    assert_eq!(last_step(&[chunk]), Ok(Step::Nothing));
}

#[test]
fn an_error_in_the_stream_is_a_fault() {
    let chunk = r#"{"error":{"message":"private","type":"server_error","param":null,"code":null}}"#;
    let fault = last_step(&[chunk]).unwrap_err();
    assert_eq!(fault.kind, Some(ErrorKind::Server));
    assert_eq!(fault.code.unwrap().as_str(), "server_error");
}

#[test]
fn error_bodies_of_compatible_servers_are_understood_too() {
    for (body, kind, code) in [
        (
            r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            Some(ErrorKind::Quota),
            Some("insufficient_quota"),
        ),
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            Some(ErrorKind::Authentication),
            Some("invalid_api_key"),
        ),
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","code":400}}"#,
            Some(ErrorKind::InvalidRequest),
            Some("invalid_request_error"),
        ),
        (r#"{"error":{"message":"m","type":"BadRequestError"}}"#, None, None),
        ("busy", None, None),
    ] {
        let fault = COMPATIBLE.fault(body.as_bytes());
        assert_eq!(fault.kind, kind, "{body}");
        assert_eq!(fault.code.as_ref().map(ErrorCode::as_str), code, "{body}");
    }
}
