use super::*;
use crate::llm::{Message, parameter::Refused};
use crate::provider::{ErrorCode, ErrorKind};

const COMPATIBLE: OpenAi = OpenAi { is_original: false };
const ORIGINAL: OpenAi = OpenAi { is_original: true };

fn body(wire: &OpenAi, temperature: Option<f64>, refused: &[Parameter]) -> Value {
    wire.body(&Request {
        model: "llama3",
        system: "You are the engineer.",
        messages: &[
            Message { role: Role::Character, text: "Welcome aboard.".to_owned() },
            Message { role: Role::Player, text: "Report!".to_owned() },
        ],
        temperature,
        max_tokens: 200,
        refused: Refused::of(refused),
    })
}

/// Feeds events to a decoder and returns what the last one gave.
fn last_step(events: &[&str]) -> Result<Step, ReportedError> {
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
        body(&COMPATIBLE, None, &[]),
        json!({
            "model": "llama3",
            "max_tokens": 200,
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
    use Parameter::{MaxCompletionTokens, MaxTokens};
    let limits = |wire, refused: &[Parameter]| {
        let body = body(wire, None, refused);
        ["max_tokens", "max_completion_tokens"].map(|name| body.get(name).cloned())
    };
    let (older, newer) = ([Some(json!(200)), None], [None, Some(json!(200))]);
    assert_eq!(limits(&COMPATIBLE, &[]), older);
    assert_eq!(limits(&ORIGINAL, &[]), newer);
    assert_eq!(limits(&COMPATIBLE, &[MaxTokens]), newer, "then the other one is tried");
    assert_eq!(limits(&ORIGINAL, &[MaxCompletionTokens]), older);
    assert_eq!(limits(&ORIGINAL, &[MaxCompletionTokens, MaxTokens]), [None, None]);
}

#[test]
fn what_is_refused_is_left_out_and_a_temperature_sent_if_asked_for() {
    assert_eq!(body(&COMPATIBLE, Some(0.2), &[])["temperature"], 0.2);
    assert_eq!(body(&COMPATIBLE, None, &[Parameter::StreamOptions]).get("stream_options"), None);
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
fn usage_has_places_of_its_own_at_moonshot_groq_and_deepseek() {
    let figures = r#"{"prompt_tokens":9,"completion_tokens":7,"cached_tokens":4}"#;
    for (chunk, cached) in [
        (format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"stop","usage":{figures}}}]}}"#), 4),
        (format!(r#"{{"choices":[],"x_groq":{{"id":"req","usage":{figures}}}}}"#), 4),
        (
            r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"prompt_cache_hit_tokens":3}}"#
                .to_owned(),
            3,
        ),
    ] {
        let usage = done(&[&chunk, "[DONE]"]).usage;
        let told = (usage.input, usage.output, usage.cache_read);
        assert_eq!(told, (Some(9), Some(7), Some(cached)), "{chunk}");
    }
}

#[test]
fn missing_usage_is_absent_not_zero() {
    let text = r#"{"choices":[{"index":0,"delta":{"content":"Aye"}}]}"#;
    assert_eq!(done(&[text, "[DONE]"]).usage, Usage::default());
}

#[test]
fn a_reason_completes_the_answer_and_is_not_its_last_event() {
    let completion = |reason: &str| {
        let mut decoder = OpenAiDecoder::default();
        let chunk = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":{reason}}}]}}"#);
        let step = decoder.step(&chunk);
        let completion = decoder.completion().map(|completion| completion.stop_reason);
        assert_eq!(step, Ok(if completion.is_some() { Step::Stop } else { Step::Nothing }));
        completion
    };
    assert_eq!(completion(r#""stop""#), Some(StopReason::EndTurn));
    assert_eq!(completion(r#""eos""#), Some(StopReason::Other));
    for none in ["null", r#""""#, r#""null""#, "false", "{}"] {
        assert_eq!(completion(none), None, "{none}");
    }
}

#[test]
fn what_servers_leave_out_or_null_does_no_harm() {
    for chunk in [
        "null",
        "",
        " ",
        r#"{"choices":null,"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
        r#"{"choices":[null]}"#,
        r#"{"choices":{}}"#,
        r#"{"choices":[{"delta":"x"}]}"#,
        r#"{"choices":[{"delta":{"content":7}}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":null,"completion_tokens":-35}}"#,
        r#"{"choices":[],"error":null}"#,
    ] {
        assert_eq!(last_step(&[chunk]), Ok(Step::Nothing), "{chunk}");
    }
    assert_eq!(done(&[" [DONE] "]).stop_reason, StopReason::Other);
}

#[test]
fn usage_may_come_in_parts_and_what_is_missing_takes_nothing_back() {
    let usage = done(&[
        r#"{"choices":[],"usage":{"prompt_tokens":11,"total_tokens":11}}"#,
        r#"{"choices":[],"usage":{"prompt_tokens_details":{"cached_tokens":4}}}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":null,"completion_tokens":5.0}}"#,
        "[DONE]",
    ])
    .usage;
    assert_eq!((usage.input, usage.output, usage.cache_read), (Some(11), Some(5), Some(4)));
}

#[test]
fn content_may_be_a_list_of_which_only_text_is_said() {
    let chunk = |content: &str| format!(r#"{{"choices":[{{"delta":{{"content":{content}}}}}]}}"#);
    let text = r#"[{"type":"text","text":"A"},{"type":"thinking","text":"hm"},{"text":"ye"}]"#;
    assert_eq!(last_step(&[&chunk(text)]), Ok(Step::Text("Aye".to_owned())));
    let thinking = r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]"#;
    assert_eq!(last_step(&[&chunk(thinking)]), Ok(Step::Thought));
    assert_eq!(last_step(&[&chunk("[]")]), Ok(Step::Nothing));
}

#[test]
fn thought_is_told_from_text() {
    for delta in [
        r#"{"reasoning_content":"hm","content":null}"#,
        r#"{"reasoning":"hm","content":""}"#,
        r#"{"reasoning_details":[{"type":"reasoning.text","text":"hm"}]}"#,
    ] {
        let chunk = format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#);
        assert_eq!(last_step(&[&chunk]), Ok(Step::Thought), "{delta}");
    }
    let both = r#"{"choices":[{"delta":{"content":"Aye","reasoning":"hm"}}]}"#;
    assert_eq!(last_step(&[both]), Ok(Step::Text("Aye".to_owned())));
    let neither = r#"{"choices":[{"delta":{"content":"","reasoning_content":null}}]}"#;
    assert_eq!(last_step(&[neither]), Ok(Step::Nothing));
}

#[test]
fn an_error_may_be_a_sentence_a_number_or_all_at_the_top() {
    for (chunk, kind, code) in [
        (r#"{"error":"model not loaded"}"#, None, None),
        (r#"{"error":"busy","code":429}"#, Some(ErrorKind::RateLimited), Some("429")),
        (r#"{"error":{"message":"m","code":402}}"#, Some(ErrorKind::Quota), Some("402")),
        (r#"{"error":{"message":"m","code":"429"}}"#, Some(ErrorKind::RateLimited), Some("429")),
        (r#"{"error":{"code":401}}"#, Some(ErrorKind::Authentication), Some("401")),
        (r#"{"error":{"code":403}}"#, Some(ErrorKind::Authentication), Some("403")),
        (r#"{"error":{"code":500}}"#, Some(ErrorKind::Server), Some("500")),
        (r#"{"error":{"code":503}}"#, Some(ErrorKind::Overloaded), Some("503")),
        (r#"{"error":{"code":529,"type":"x"}}"#, Some(ErrorKind::Overloaded), Some("x")),
        (r#"{"error":{"code":7}}"#, None, None),
        (r#"{"error":{}}"#, None, None),
        (
            r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
            Some(ErrorKind::InvalidRequest),
            None,
        ),
    ] {
        let reported = last_step(&[chunk]).expect_err(chunk);
        assert_eq!(reported.kind, kind, "{chunk}");
        assert_eq!(reported.code.as_ref().map(ErrorCode::as_str), code, "{chunk}");
    }
    let list = COMPATIBLE.parse_error(br#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]"#);
    assert_eq!(list.kind, Some(ErrorKind::RateLimited));
}

#[test]
fn an_error_in_the_stream_is_a_fault() {
    let chunk = r#"{"error":{"message":"private","type":"server_error","param":null,"code":null}}"#;
    let reported = last_step(&[chunk]).unwrap_err();
    assert_eq!(reported.kind, Some(ErrorKind::Server));
    assert_eq!(reported.code.unwrap().as_str(), "server_error");
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
        let reported = COMPATIBLE.parse_error(body.as_bytes());
        assert_eq!(reported.kind, kind, "{body}");
        assert_eq!(reported.code.as_ref().map(ErrorCode::as_str), code, "{body}");
    }
}
