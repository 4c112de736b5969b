//! Random answers in random chunks, against a slow and obvious reading of the same bytes.

use super::*;
use crate::fuzzing::{Chance, going_on};
use crate::llm::{StopReason, thought};
use crate::provider::events::tests::obvious;

const WORDS: [&str; 24] = [
    "Ahoy",
    " ",
    "\n\n",
    "<think>",
    "</think>",
    "<thought>",
    "[/THINK]",
    "<thi",
    "nk>",
    "</",
    "<",
    "🐙",
    "null",
    "[]",
    "{}",
    "7",
    "-1",
    "1e300",
    "18446744073709551616",
    "\"\"",
    "stop",
    "é",
    "\"x\"",
    "[{}]",
];

/// The data of one event: mostly of the protocol, with odd values in places.
fn data(chance: &mut Chance, provider: LlmProtocol) -> String {
    let text = json!(chance.words(&WORDS, 5));
    let odd = match chance.below(3) {
        0 => chance
            .one_of(&["null", "[]", "{}", "7", "\"\"", "[null]", "[{\"type\":\"text\"}]"])
            .to_owned(),
        _ => text.to_string(),
    };
    let openai = [
        format!(r#"{{"choices":[{{"delta":{{"content":{odd}}}}}]}}"#),
        format!(r#"{{"choices":[{{"delta":{{"content":{text}}}}}]}}"#),
        format!(
            r#"{{"choices":[{{"delta":{{"content":[{{"type":"text","text":{odd}}}, {odd}]}}}}]}}"#
        ),
        format!(r#"{{"choices":[{{"delta":{{"reasoning_content":{odd}}}}}]}}"#),
        format!(r#"{{"choices":[{{"delta":{odd},"finish_reason":{odd}}}],"usage":{odd}}}"#),
        format!(r#"{{"choices":{odd},"usage":{{"completion_tokens":{odd}}}}}"#),
        format!(r#"{{"error":{odd}}}"#),
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#.to_owned(),
        "[DONE]".to_owned(),
    ];
    let anthropic = [
        format!(r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":{odd}}}}}"#),
        format!(
            r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":{text}}}}}"#
        ),
        format!(
            r#"{{"type":"content_block_delta","delta":{{"type":"thinking_delta","thinking":{odd}}}}}"#
        ),
        format!(
            r#"{{"type":"content_block_start","content_block":{{"type":"text","text":{odd}}}}}"#
        ),
        format!(r#"{{"type":"message_start","message":{odd}}}"#),
        format!(r#"{{"type":"message_delta","delta":{odd},"usage":{odd}}}"#),
        format!(r#"{{"type":{odd},"error":{odd}}}"#),
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#.to_owned(),
        r#"{"type":"message_stop"}"#.to_owned(),
    ];
    let google = [
        format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":{odd}}}]}}}}]}}"#),
        format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":{text}}}, {odd}]}}}}]}}"#),
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":{text},"thought":true}}]}}}}]}}"#
        ),
        format!(r#"{{"candidates":[{{"content":{odd},"finishReason":{odd}}}]}}"#),
        format!(r#"{{"candidates":{odd},"usageMetadata":{{"candidatesTokenCount":{odd}}}}}"#),
        format!(r#"{{"promptFeedback":{odd},"usageMetadata":{odd}}}"#),
        format!(r#"{{"error":{odd}}}"#),
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":{text}}}]}},"finishReason":"STOP"}}]}}"#
        ),
        r#"{"promptFeedback":{"blockReason":"OTHER"}}"#.to_owned(),
    ];
    let of = match provider {
        LlmProtocol::Anthropic => &anthropic,
        LlmProtocol::OpenAi => &openai,
        LlmProtocol::Google => &google,
    };
    // The ends come last in each list, and seldom.
    let kinds = if chance.below(6) == 0 { of.len() } else { of.len() - 3 };
    of[chance.below(kinds)].clone()
}

/// Text, whether complete, and the kind of error, from the whole body at once.
fn slowly(provider: LlmProtocol, body: &[u8]) -> (String, Result<StopReason, ErrorKind>) {
    let mut decoder = super::wire(provider).decoder();
    let (mut text, mut over) = (String::new(), false);
    let mut end = Err(ErrorKind::Interrupted);
    for event in obvious(body) {
        match decoder.step(&event.data) {
            Ok(Step::Text(_)) if over => {}
            Ok(Step::Text(more)) => text.push_str(&more),
            Ok(Step::Thought | Step::Nothing) => {}
            // A reason to stop that comes alone ends the text, if there was some.
            Ok(Step::Stop) => over |= !text.trim().is_empty(),
            Ok(Step::Done(completion)) => {
                end = Ok(completion.stop_reason);
                break;
            }
            Err(reported) => {
                let torn = reported == ReportedError::PROTOCOL && !event.whole;
                let kind = reported.kind.unwrap_or(ErrorKind::Server);
                end = Err(if torn { ErrorKind::Interrupted } else { kind });
                break;
            }
        }
    }
    if let Some(completion) = decoder.completion() {
        end = Ok(completion.stop_reason);
    }
    let said = thought::tests::obvious(&text).trim_start().to_owned();
    let most = said.floor_char_boundary(MAX_TEXT);
    if said.len() > MAX_TEXT {
        end = Err(ErrorKind::Protocol);
    }
    (said[..most].to_owned(), end)
}

#[tokio::test]
async fn random_answers_in_random_chunks_are_read_as_the_obvious_reading_has_them() {
    let (mut chance, going_on) = (Chance::new(), going_on(1.0));
    let mut bodies = 0;
    let registry = Registry::new();
    let metrics = LlmMetrics::register(&registry, Prices::with(&[]).unwrap()).unwrap();
    let metrics = PROTOCOLS.map(|(provider, _)| metrics.of(&provider.provider_name().into(), "m"));
    while going_on() {
        let protocol = chance.below(PROTOCOLS.len());
        let (provider, recorded) = PROTOCOLS[protocol];
        let bytes = match chance.below(3) {
            0 => recorded.as_bytes().to_vec(),
            _ => {
                let events = (0..chance.below(12)).map(|_| data(&mut chance, provider));
                events.map(|data| format!("data: {data}\n\n")).collect::<String>().into_bytes()
            }
        };
        let bytes = if chance.below(2) == 0 { chance.mutated(bytes) } else { bytes };
        let chunks = chance.cut(&bytes);
        let heard =
            hear_counted(provider, &metrics[protocol], chunks.iter().map(|chunk| &chunk[..])).await;
        let end = match (heard.completion, heard.error) {
            (Some(completion), _) => Ok(completion.stop_reason),
            (None, error) => Err(error.expect("an end").kind),
        };
        let shown = String::from_utf8_lossy(&bytes);
        assert_eq!(
            (heard.text, end),
            slowly(provider, &bytes),
            "{provider:?} {shown:?} as {chunks:?}"
        );
        bodies += 1;
    }
    println!("{bodies} answers");
    assert!(output_tokens(&registry) <= f64::from(bodies) * 1e7);
    assert!(bodies > 0);
}
