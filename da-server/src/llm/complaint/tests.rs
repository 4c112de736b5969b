mod fuzz;

use serde_json::json;

use super::*;

fn heard(status: u16, body: &str) -> Option<Complaint> {
    let sent = [Parameter::Temperature, Parameter::MaxTokens, Parameter::StreamOptions];
    complaint(status, body.as_bytes(), &sent)
}

fn parameter(body: &str) -> Option<Parameter> {
    match heard(400, body) {
        Some(Complaint::Parameter(parameter)) => Some(parameter),
        other => {
            assert_eq!(other, None, "{body}");
            None
        }
    }
}

#[test]
fn a_refused_parameter_is_found_however_it_is_named() {
    for (name, body) in [
        (
            "temperature",
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"`temperature` is deprecated for this model."}}"#,
        ),
        (
            "temperature",
            r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0.8 with this model. Only the default (1) value is supported.","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}"#,
        ),
        (
            "temperature",
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"temperature: range: 0..1"}}"#,
        ),
        (
            "max_tokens",
            r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#,
        ),
        (
            "stream_options",
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted","input":{"include_usage":true}}]}"#,
        ),
        (
            "stream_options",
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]},"code":null}"#,
        ),
        ("stream_options", "unknown field `stream_options`, expected one of `model`, `messages`"),
        ("stream_options", r#"{"error":"json: unknown field \"stream_options\""}"#),
    ] {
        assert_eq!(parameter(body).map(Parameter::as_str), Some(name), "{body}");
    }
}

#[test]
fn what_names_none_or_another_is_no_refusal_of_a_parameter() {
    for body in [
        r#"{"error":{"message":"Invalid model","type":"invalid_request_error","param":"model"}}"#,
        r#"{"error":{"message":"max_tokens is too large: 100000","param":"max_tokens"}}"#,
        // Less of the conversation would mend none of these.
        r#"{"error":{"message":"max_tokens (5000) is greater than the context window of this model"}}"#,
        r#"{"error":{"message":"This model has a context window of 8192 tokens. The maximum number of images is 3."}}"#,
        r#"{"error":{"message":"no"},"input":"a context length too long"}"#,
        r#"{"error":{"message":"the value is too large"}}"#,
        r#"{"error":{"message":"the room_temperature of the sea"}}"#,
        r#"{"detail":[{"loc":["body","messages"],"msg":"bad","input":"unsupported temperature"}]}"#,
        r#"{"error":{"message":"'top_p' is not supported","param":"top_p"}}"#,
        "",
    ] {
        assert_eq!(heard(400, body), None, "{body}");
    }
}

#[test]
fn only_what_was_sent_and_can_be_left_out_counts() {
    let body = br#"{"error":{"message":"Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'."}}"#;
    let newer = Parameter::MaxCompletionTokens;
    assert_eq!(complaint(400, body, &[newer]), Some(Complaint::Parameter(newer)));
    assert_eq!(complaint(400, body, &[Parameter::Temperature]), None);
    assert_eq!(complaint(400, body, &[]), None);
}

#[test]
fn a_parameter_may_be_named_by_its_path() {
    let found =
        |body: Value| complaint(400, body.to_string().as_bytes(), &[Parameter::Temperature]);
    let field = |field: &str| {
        let violations = json!([{"field": field, "description": "Cannot find field."}]);
        json!({"error": {"code": 400, "details": [{"fieldViolations": violations}]}})
    };
    let temperature = Some(Complaint::Parameter(Parameter::Temperature));
    assert_eq!(found(field("generation_config.temperature")), temperature);
    assert_eq!(found(field("generation_config.top_k")), None);
    let words = "Invalid JSON payload received. Unknown name \"temperature\": Cannot find field.";
    assert_eq!(found(json!({"error": {"message": words}})), temperature);
}

#[test]
fn a_conversation_that_is_too_long_is_told_by_its_many_names() {
    for (status, body) in [
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        ),
        (
            400,
            r#"{"object":"error","message":"'max_tokens' or 'max_completion_tokens' is too large: 800. This model's maximum context length is 2048 tokens and your request has 1900 input tokens","type":"BadRequestError","param":null,"code":400}"#,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 199000 + 8000 > 200000"}}"#,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}"#,
        ),
        (500, r#"{"error":"the input length exceeds the context length"}"#),
        (
            400,
            r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
        ),
        (
            422,
            r#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096","error_type":"validation"}"#,
        ),
        (
            400,
            r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 136973 tokens."}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Invalid request: Your request exceeded model token limit: 262144","type":"invalid_request_error"}}"#,
        ),
        (
            400,
            r#"{"error":"Trying to keep the first 5120 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough. Try to load the model with a larger context length, or provide a shorter input"}"#,
        ),
        (
            400,
            r#"{"error":"The number of tokens to keep from the initial prompt is greater than the context length. Try to load the model with a larger context length, or provide a shorter input"}"#,
        ),
        (
            422,
            r#"{"error":"Input validation error: `inputs` must have less than 4095 tokens. Given: 5000","error_type":"validation"}"#,
        ),
        (
            400,
            r#"{"error":{"message":"prompt too long; exceeded max context length by 120 tokens","type":"invalid_request_error"}}"#,
        ),
        // What the general rule finds.
        (400, r#"{"error":{"message":"Requested tokens (5000) exceed context window of 4096"}}"#),
        (
            400,
            r#"{"message":"The input (40000 tokens) is longer than the model's context length (32768 tokens)."}"#,
        ),
        (400, r#"{"message":"Range of input length should be [1, 30720]"}"#),
        (
            400,
            r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 4081"}"#,
        ),
        (413, "<html>413 Request Entity Too Large</html>"),
    ] {
        assert_eq!(heard(status, body), Some(Complaint::TooLong), "{body}");
    }
}

#[test]
fn other_answers_are_not_searched() {
    let body = r#"{"error":{"message":"temperature unsupported; maximum context length"}}"#;
    for status in [401, 403, 404, 429, 503] {
        assert_eq!(heard(status, body), None, "{status}");
    }
    assert_eq!(heard(500, r#"{"error":{"message":"temperature unsupported"}}"#), None);
}
