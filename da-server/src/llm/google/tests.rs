use super::*;
use crate::llm::{Message, parameter::Refused};
use crate::provider::ErrorKind;

fn body(system: &str, temperature: Option<f64>) -> Value {
    let line = |role, text: &str| Message { role, text: text.to_owned() };
    Google.body(&Request {
        model: "gemini-3.5-flash-lite",
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

fn url(base: &str, model: &str) -> String {
    Google.url(&base.parse().unwrap(), model).to_string()
}

/// Feeds chunks to a decoder, which is handed back with what the last of them meant.
fn decoded(chunks: &[Value]) -> (Result<Step, ReportedError>, GoogleDecoder) {
    let mut decoder = GoogleDecoder::default();
    let mut last = Ok(Step::Nothing);
    for chunk in chunks {
        last = decoder.step(&chunk.to_string());
    }
    (last, decoder)
}

fn step(chunk: Value) -> Result<Step, ReportedError> {
    decoded(&[chunk]).0
}

fn says(parts: Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]})
}

fn text(text: &str) -> Result<Step, ReportedError> {
    Ok(Step::Text(text.to_owned()))
}

fn finish(reason: &str) -> Value {
    json!({"candidates": [{"finishReason": reason, "index": 0}]})
}

#[test]
fn the_model_is_in_the_path() {
    assert_eq!(
        url("https://generativelanguage.googleapis.com/v1", "gemini-3.5-flash-lite"),
        "https://generativelanguage.googleapis.com/v1/models/gemini-3.5-flash-lite\
         :streamGenerateContent?alt=sse"
    );
    assert_eq!(
        url("http://gateway/google/v1beta", "tunedModels/captain-7"),
        "http://gateway/google/v1beta/tunedModels/captain-7:streamGenerateContent?alt=sse"
    );
    assert!(url("http://h/v1", "models/m").ends_with("/v1/models/m:streamGenerateContent?alt=sse"));
}

#[test]
fn a_model_cannot_change_the_path() {
    for (model, segment) in [
        ("a/../b?x#y", "a%2F..%2Fb%3Fx%23y"),
        ("models/../../x", "..%2F..%2Fx"),
        ("m:generateContent?key=k", "m:generateContent%3Fkey=k"),
        ("..", ".."),
    ] {
        let expected = format!("http://h/v1/models/{segment}:streamGenerateContent?alt=sse");
        assert_eq!(url("http://h/v1", model), expected, "{model}");
    }
}

#[test]
fn body_is_a_request_for_generated_content() {
    assert_eq!(
        body("You are the engineer.", None),
        json!({
            "contents": [
                {"role": "user", "parts": [{"text": "Report!"}]},
                {"role": "model", "parts": [{"text": "All is well."}]},
                {"role": "user", "parts": [{"text": "And the reactor?"}]},
            ],
            "systemInstruction": {"role": "user", "parts": [{"text": "You are the engineer."}]},
            "generationConfig": {"maxOutputTokens": 800},
        })
    );
}

#[test]
fn what_nobody_asked_for_is_left_out() {
    assert_eq!(body("", None).get("systemInstruction"), None);
    assert_eq!(body("", Some(0.8))["generationConfig"]["temperature"], 0.8);
}

#[test]
fn the_key_goes_into_its_own_header() {
    let headers = Google.headers(ApiKey::new("AIza").as_ref()).unwrap();
    assert_eq!(headers["x-goog-api-key"], "AIza");
    assert!(headers["x-goog-api-key"].is_sensitive());
    assert!(Google.headers(None).unwrap().is_empty());
}

#[test]
fn text_is_all_that_is_not_thought() {
    assert_eq!(step(says(json!([{"text": "Aye"}]))), text("Aye"));
    assert_eq!(step(says(json!([{"text": "A"}, {"text": "ye"}]))), text("Aye"));
    let both = json!([{"thought": true, "text": "hm"}, {"thought": false, "text": "Aye"}]);
    assert_eq!(step(says(both)), text("Aye"));
    assert_eq!(step(says(json!([{"thought": true, "text": "hm"}]))), Ok(Step::Thought));
    for parts in [
        json!([{"text": ""}]),
        json!([{"text": "", "thoughtSignature": "AY89"}]),
        json!([{"functionCall": {"name": "dive", "args": {}}}]),
        json!([{"executableCode": {"code": "1"}}, {"text": null}]),
        json!([]),
        json!(null),
    ] {
        assert_eq!(step(says(parts.clone())), Ok(Step::Nothing), "{parts}");
    }
}

#[test]
fn another_candidate_is_not_mixed_in() {
    let parts = |text: &str| json!({"content": {"parts": [{"text": text}]}});
    assert_eq!(step(json!({"candidates": [parts("Aye"), parts("Nay")]})), text("Aye"));
}

#[test]
fn a_reason_to_stop_comes_with_a_part_or_alone() {
    let mut last = says(json!([{"text": "Aye"}]));
    last["candidates"][0]["finishReason"] = json!("STOP");
    let (step, decoder) = decoded(&[last]);
    assert_eq!(step, text("Aye"), "its text is not lost");
    assert_eq!(decoder.completion().unwrap().stop_reason, StopReason::EndTurn);
    let (step, decoder) = decoded(&[says(json!([{"text": "Aye"}])), finish("MAX_TOKENS")]);
    assert_eq!(step, Ok(Step::Stop));
    assert_eq!(decoder.completion().unwrap().stop_reason, StopReason::MaxTokens);
}

#[test]
fn reasons_to_stop_are_told_apart() {
    for (reason, stopped) in [
        ("STOP", Some(StopReason::EndTurn)),
        ("MAX_TOKENS", Some(StopReason::MaxTokens)),
        ("CONTINUATION", Some(StopReason::MaxTokens)),
        ("SAFETY", Some(StopReason::Refusal)),
        ("RECITATION", Some(StopReason::Refusal)),
        ("PROHIBITED_CONTENT", Some(StopReason::Refusal)),
        ("BLOCKLIST", Some(StopReason::Refusal)),
        ("SPII", Some(StopReason::Refusal)),
        ("LANGUAGE", Some(StopReason::Refusal)),
        ("MALFORMED_FUNCTION_CALL", Some(StopReason::ToolUse)),
        ("OTHER", Some(StopReason::Other)),
        ("A_REASON_OF_THE_FUTURE", Some(StopReason::Other)),
        ("FINISH_REASON_UNSPECIFIED", None),
        ("", None),
    ] {
        let (_, decoder) = decoded(&[finish(reason)]);
        assert_eq!(decoder.completion().map(|end| end.stop_reason), stopped, "{reason}");
    }
    let (_, decoder) = decoded(&[finish("STOP"), says(json!([{"text": "x"}]))]);
    assert!(decoder.completion().is_some(), "a later chunk without a reason takes none back");
}

#[test]
fn usage_is_a_running_total_and_output_holds_what_was_thought() {
    let told = |usage: Value| json!({"candidates": [], "usageMetadata": usage});
    let chunks = [
        told(json!({"trafficType": "ON_DEMAND"})),
        told(json!({"promptTokenCount": 3210, "thoughtsTokenCount": 150, "totalTokenCount": 3360})),
        told(json!({"promptTokenCount": 3210, "cachedContentTokenCount": 3000,
            "candidatesTokenCount": 12, "thoughtsTokenCount": 186, "totalTokenCount": 3408})),
    ];
    let usage = Usage {
        input: Some(3210),
        output: Some(198),
        cache_read: Some(3000),
        cache_write: None,
        reasoning: Some(186),
    };
    assert_eq!(decoded(&chunks).1.usage(), usage);
    assert_eq!(usage.streamed(), Some(12));
    let thinking = decoded(&chunks[..2]).1.usage();
    assert_eq!((thinking.output, thinking.streamed()), (Some(150), Some(0)));
    assert_eq!(decoded(&chunks[..1]).1.usage(), Usage::default(), "absent, not zero");
}

#[test]
fn usage_may_come_after_the_reason_to_stop() {
    let late = json!({"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 7}});
    let completion = decoded(&[finish("STOP"), late]).1.completion().unwrap();
    assert_eq!((completion.usage.input, completion.usage.output), (Some(9), Some(7)));
}

#[test]
fn a_refused_prompt_is_a_refused_request() {
    let refused = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 9}});
    let reported = step(refused).unwrap_err();
    assert_eq!(reported.kind, Some(ErrorKind::Refusal));
    assert_eq!(reported.code.unwrap().as_str(), "prohibited_content");
    let mut rated = says(json!([{"text": "Aye"}]));
    rated["promptFeedback"] = json!({"safetyRatings": []});
    assert_eq!(step(rated), text("Aye"));
}

#[test]
fn what_gateways_add_or_null_does_no_harm() {
    for data in ["", " ", "null", "7", "[]", "{}", r#"{"candidates":null}"#, r#"{"error":null}"#] {
        assert_eq!(GoogleDecoder::default().step(data), Ok(Step::Nothing), "{data}");
    }
    let end = GoogleDecoder::default().step("[DONE]");
    assert!(matches!(end, Ok(Step::Done(_))), "{end:?}");
    assert_eq!(GoogleDecoder::default().step("<html>"), Err(ReportedError::PROTOCOL));
}

#[test]
fn an_error_may_come_as_a_chunk() {
    let error = json!({"error": {"code": 503, "message": "private", "status": "UNAVAILABLE"}});
    let reported = step(error).unwrap_err();
    assert_eq!(reported.kind, Some(ErrorKind::Overloaded));
    assert_eq!(reported.code.unwrap().as_str(), "unavailable");
}
