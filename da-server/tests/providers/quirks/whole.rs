//! Whole answers, of servers and gateways that do not stream although they are asked to.

use da_server::llm::LlmProtocol::{self, Anthropic, OpenAi};
use da_server::llm::StopReason;
use da_server::provider::ErrorKind;
use da_testkit::raw::Ending;
use serde_json::{Value, json};

use super::row::{AHOY, Quirk, quirk};

fn whole(name: &'static str, provider: LlmProtocol, body: &Value) -> Quirk {
    quirk(name, provider, body.to_string()).typed("application/json")
}

fn message(message: Value, reason: Value) -> Value {
    json!({"object": "chat.completion", "usage": {"prompt_tokens": 9, "completion_tokens": 2},
        "choices": [{"index": 0, "message": message, "finish_reason": reason}]})
}

pub fn quirks() -> Vec<Quirk> {
    let openai = |name, content: Value, reason: &str| {
        let message = message(json!({"role": "assistant", "content": content}), json!(reason));
        whole(name, OpenAi, &message)
    };
    let text = json!({"type": "text", "text": AHOY});
    let anthropic = |content: Value| {
        json!({"type": "message", "role": "assistant", "content": content,
            "stop_reason": "end_turn", "usage": {"input_tokens": 9, "output_tokens": 2}})
    };
    vec![
        openai("a whole answer in place of a stream", json!(AHOY), "stop"),
        openai("a whole answer, one byte at a time", json!(AHOY), "stop").in_chunks_of(1),
        openai("a whole answer, then silence", json!(AHOY), "stop").ending(Ending::Silence),
        openai("a whole answer that was cut by its limit", json!(AHOY), "length")
            .ends(Ok(StopReason::MaxTokens)),
        openai("a whole answer with thought", json!(format!("<think>hm</think>{AHOY}")), "stop"),
        whole(
            "a whole answer without a reason",
            OpenAi,
            &message(json!({"content": AHOY}), Value::Null),
        )
        .ends(Ok(StopReason::Other)),
        openai("a whole answer of nothing", Value::Null, "stop").fails(ErrorKind::EmptyAnswer),
        openai("a whole answer that is declined", Value::Null, "content_filter")
            .fails_for_good(ErrorKind::Refusal),
        quirk("half a whole answer", OpenAi, r#"{"choices":[{"message":{"content":"Ah"#)
            .typed("application/json")
            .ending(Ending::Cut)
            .fails(ErrorKind::Interrupted),
        openai("a whole answer beyond all bounds", json!("Ahoy ".repeat(100_000)), "stop")
            .fails_for_good(ErrorKind::Protocol),
        whole("a whole answer in place of a stream", Anthropic, &anthropic(json!([text]))),
        whole(
            "a whole answer with thought",
            Anthropic,
            &anthropic(json!([{"type": "thinking", "thinking": "hm"}, text])),
        ),
        whole("a whole answer of nothing", Anthropic, &anthropic(json!([])))
            .fails(ErrorKind::EmptyAnswer),
    ]
}
