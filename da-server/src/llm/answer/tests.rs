//! Recorded bytes, cut in every way a network may cut them.

mod fuzz;
mod silent;

use futures_util::FutureExt;
use serde_json::json;

use super::*;
use crate::llm::{Completion, LlmProtocol};
use crate::llm::{LlmMetrics, Prices};
use crate::metrics::Registry;

fn wire(protocol: LlmProtocol) -> Box<dyn crate::llm::wire::Wire> {
    crate::llm::LlmConfig { protocol, ..Default::default() }.wire().unwrap()
}

/// What a caller would have seen of an answer.
#[derive(Debug, Default)]
struct Heard {
    text: String,
    thoughts: usize,
    /// The caller was told that it had all of the text.
    complete: bool,
    completion: Option<Completion>,
    error: Option<LlmError>,
    counted_output_tokens: f64,
}

const MAX_TEXT: usize = 1000;

const PROTOCOLS: [(LlmProtocol, &str); 3] = [
    (
        LlmProtocol::Anthropic,
        concat!(
            "event: message_start\n",
            "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":",
            "{\"input_tokens\":9,\"output_tokens\":1}}}\n\n",
            "event: content_block_delta\n",
            "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":",
            "{\"type\":\"text_delta\",\"text\":\"Grüße, \"}}\n\n",
            "event: ping\ndata: {\"type\":\"ping\"}\n\n",
            "event: content_block_delta\n",
            "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":",
            "{\"type\":\"text_delta\",\"text\":\"Kapitän 🐙\"}}\n\n",
            "event: message_delta\n",
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
            "\"usage\":{\"output_tokens\":7}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
    ),
    (
        LlmProtocol::OpenAi,
        concat!(
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},",
            "\"finish_reason\":null}],\"usage\":null}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße, \"}}]}\n\n",
            ": a comment, as some gateways send to keep a connection open\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Kapitän 🐙\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":7}}\n\n",
            "data: [DONE]\n\n",
        ),
    ),
    (
        LlmProtocol::Google,
        concat!(
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Grüße, \"}],",
            "\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,",
            "\"candidatesTokenCount\":1,\"totalTokenCount\":13,\"thoughtsTokenCount\":3}}\n\n",
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Kapitän 🐙\"}],",
            "\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":",
            "{\"promptTokenCount\":9,\"candidatesTokenCount\":4,\"thoughtsTokenCount\":3}}\n\n",
        ),
    ),
];

async fn hear(provider: LlmProtocol, chunks: impl IntoIterator<Item = &[u8]>) -> Heard {
    let registry = Registry::new();
    let metrics = LlmMetrics::register(&registry, Prices::with(&[]).unwrap()).unwrap();
    let heard =
        hear_counted(provider, &metrics.of(&provider.provider_name().into(), "m"), chunks).await;
    Heard { counted_output_tokens: output_tokens(&registry), ..heard }
}

/// What is heard, with its tokens counted in `metrics`.
async fn hear_counted(
    provider: LlmProtocol,
    metrics: &ModelMetrics,
    chunks: impl IntoIterator<Item = &[u8]>,
) -> Heard {
    let body = chunks.into_iter().map(|chunk| Ok(Bytes::copy_from_slice(chunk)));
    let body = stream::iter(body.collect::<Vec<_>>());
    let decoder = CountingDecoder::new(wire(provider).decoder(), metrics.clone());
    let mut pieces = Box::pin(answer(
        provider.provider_name().into(),
        body,
        decoder,
        Unopened::default(),
        MAX_TEXT,
    ));
    let (mut heard, mut taken_back) = (Heard::default(), false);
    while let Some(piece) = pieces.next().await {
        assert!(heard.completion.is_none() && heard.error.is_none(), "more after the end");
        match piece {
            Ok(Part::Thought) => heard.thoughts += 1,
            Ok(Part::Event(LlmEvent::Text(text))) => {
                assert!(!text.is_empty() && !heard.complete);
                heard.text.push_str(&text);
            }
            Ok(Part::Event(LlmEvent::Instead(text))) => {
                assert!(!heard.text.is_empty() && !heard.complete);
                (heard.text, taken_back) = (text, true);
            }
            Ok(Part::Event(LlmEvent::Complete)) => heard.complete = true,
            Ok(Part::Event(LlmEvent::Done(completion))) => heard.completion = Some(completion),
            Err(broken) => heard.error = Some(error(broken)),
        }
    }
    let begun = taken_back || !heard.text.is_empty();
    assert_eq!(heard.complete, heard.completion.is_some() && begun);
    heard
}

fn error(broken: Broken) -> LlmError {
    match broken {
        Broken::Failed(error) => error,
        Broken::Refused { reported, .. } => LlmError::in_stream(&"p".into(), reported),
    }
}

/// A decoder whose tokens nobody looks at.
fn decoder(provider: LlmProtocol) -> CountingDecoder {
    let metrics = LlmMetrics::register(&Registry::new(), Prices::with(&[]).unwrap());
    CountingDecoder::new(
        wire(provider).decoder(),
        metrics.unwrap().of(&provider.provider_name().into(), "m"),
    )
}

fn output_tokens(registry: &Registry) -> f64 {
    let families = registry.gather();
    let tokens = families.iter().find(|family| family.name() == "llm_tokens_total").unwrap();
    let is_output = |metric: &&prometheus::proto::Metric| {
        metric.get_label().iter().any(|label| label.value() == "output")
    };
    tokens.get_metric().iter().find(is_output).unwrap().get_counter().value()
}

fn assert_whole(heard: &Heard) {
    assert_eq!(heard.text, "Grüße, Kapitän 🐙");
    assert!(heard.error.is_none(), "{:?}", heard.error);
    let usage = heard.completion.expect("completed").usage;
    assert_eq!((usage.input, usage.output), (Some(9), Some(7)));
    assert_eq!(heard.counted_output_tokens, 7.0);
}

#[tokio::test]
async fn any_cut_gives_the_same_answer_even_inside_a_character() {
    for (provider, recorded) in PROTOCOLS {
        let bytes = recorded.as_bytes();
        assert_whole(&hear(provider, [bytes]).await);
        assert_whole(&hear(provider, bytes.chunks(1)).await);
        for at in 1..bytes.len() {
            let (before, after) = bytes.split_at(at);
            assert_whole(&hear(provider, [before, after]).await);
        }
    }
}

#[tokio::test]
async fn carriage_returns_end_lines_too() {
    for (provider, recorded) in PROTOCOLS {
        let recorded = recorded.replace('\n', "\r\n");
        assert_whole(&hear(provider, [recorded.as_bytes()]).await);
    }
}

#[tokio::test]
async fn a_body_is_interrupted_if_it_ends_before_the_model_said_why_it_stopped() {
    for (provider, recorded) in PROTOCOLS {
        // The last event without a line end, and the event that says why the model stopped.
        let complete = end_of_stop(provider, recorded);
        for length in 0..=recorded.len() {
            let heard = hear(provider, [&recorded.as_bytes()[..length]]).await;
            assert_eq!(
                heard.completion.is_some(),
                length >= complete,
                "{provider:?} cut at {length}"
            );
            let kind = heard.error.map(|error| error.kind);
            let expected = (length < complete).then_some(ErrorKind::Interrupted);
            assert_eq!(kind, expected, "{provider:?} cut at {length}");
        }
    }
}

/// How much of a recorded answer it takes to be complete.
fn end_of_stop(provider: LlmProtocol, recorded: &str) -> usize {
    let stop = match provider {
        LlmProtocol::Anthropic => "\"usage\":{\"output_tokens\":7}}",
        LlmProtocol::Google => "\"candidatesTokenCount\":4,\"thoughtsTokenCount\":3}}",
        LlmProtocol::OpenAi => "\"finish_reason\":\"stop\"}]}",
    };
    recorded.find(stop).unwrap() + stop.len()
}

#[tokio::test]
async fn tokens_told_before_an_interruption_are_counted() {
    let (provider, recorded) = PROTOCOLS[0];
    let heard =
        hear(provider, [&recorded.as_bytes()[..recorded.find("event: ping").unwrap()]]).await;
    assert_eq!(heard.error.unwrap().kind, ErrorKind::Interrupted);
    assert_eq!(heard.counted_output_tokens, 1.0);
}

#[tokio::test]
async fn nothing_makes_an_answer_incomplete_that_has_said_why_it_stopped() {
    for (provider, recorded) in PROTOCOLS {
        let complete = &recorded[..end_of_stop(provider, recorded)];
        for rest in [
            "\n\ndata: <html>\n\n",
            "\n\ndata: {\"type\":\"error\",\"error\":{\"type\":\"x\"}}\n\n",
        ] {
            let heard = hear(provider, [complete.as_bytes(), rest.as_bytes()]).await;
            assert!(heard.completion.is_some() && heard.error.is_none(), "{provider:?} {rest}");
        }
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        let heard = hear(provider, [complete.as_bytes(), b"\n\n", long.as_bytes()]).await;
        assert!(heard.completion.is_some() && heard.error.is_none(), "{provider:?}");
    }
}

#[tokio::test]
async fn the_rest_of_a_complete_answer_is_not_waited_for_long() {
    for (provider, recorded) in PROTOCOLS {
        let complete = format!("{}\n\n", &recorded[..end_of_stop(provider, recorded)]);
        let pings = stream::repeat(()).then(|()| async {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            Ok(Bytes::from_static(b": ping\n\n"))
        });
        let body = stream::iter([Ok(Bytes::from(complete))]).chain(pings);
        let pieces: Vec<_> =
            answer("p".into(), body, decoder(provider), Unopened::default(), MAX_TEXT)
                .collect()
                .await;
        assert!(matches!(pieces.last(), Some(Ok(Part::Event(LlmEvent::Done(_))))), "{provider:?}");
    }
}

/// Some gateways of Google's protocol tell a reason to stop with every chunk, or with empty ones
/// before the first word.
#[tokio::test]
async fn a_reason_to_stop_that_was_none_cuts_no_words_off() {
    let part = |text: &str| {
        let candidate = json!({"content": {"parts": [{"text": text}]}, "finishReason": "STOP"});
        Ok(Bytes::from(format!("data: {}\n\n", json!({"candidates": [candidate]}))))
    };
    for (begun, said) in [(["", ""], "Kapitän"), (["Grüße, ", "Herr "], "Grüße, Herr Kapitän")]
    {
        let late = stream::once(async {
            tokio::time::sleep(exchange::DRAIN_TIMEOUT * 2).await;
            part("Kapitän")
        });
        let body = stream::iter(begun.map(part)).chain(late);
        let pieces =
            answer("p".into(), body, decoder(LlmProtocol::Google), Unopened::default(), MAX_TEXT);
        let text = |piece| async move {
            match piece {
                Ok(Part::Event(LlmEvent::Text(text))) => Some(text),
                _ => None,
            }
        };
        assert_eq!(pieces.filter_map(text).collect::<String>().await, said);
    }
}

/// An answer of these texts, in the words of each protocol.
fn saying(provider: LlmProtocol, texts: &[&str]) -> String {
    let chunk = |text: &&str| match provider {
        LlmProtocol::Anthropic => json!({"type": "content_block_delta",
            "delta": {"type": "text_delta", "text": text}}),
        LlmProtocol::Google => json!({"candidates": [{"content": {"parts": [{"text": text}]}}]}),
        LlmProtocol::OpenAi => json!({"choices": [{"delta": {"content": text}}]}),
    };
    let end = match provider {
        LlmProtocol::Anthropic => r#"{"type":"message_stop"}"#,
        LlmProtocol::Google => r#"{"candidates":[{"finishReason":"STOP"}]}"#,
        LlmProtocol::OpenAi => "[DONE]",
    };
    let chunks = texts.iter().map(|text| format!("data: {}\n\n", chunk(text)));
    chunks.chain([format!("data: {end}\n\n")]).collect()
}

#[tokio::test]
async fn thought_and_blanks_before_the_first_word_are_progress_and_not_said() {
    for (provider, _) in PROTOCOLS {
        for (texts, said, thoughts) in [
            (&["<thi", "nk>The player</thi", "nk>\n\n", " Ahoy", "\n"][..], "Ahoy\n", 3),
            (&["\n\n", " ", "Aye < nay <thin"], "Aye < nay <thin", 2),
            (&["\n\n"], "", 1),
            (&["<think>it never", " ends"], "", 2),
        ] {
            let heard = hear(provider, [saying(provider, texts).as_bytes()]).await;
            assert_eq!((heard.text.as_str(), heard.thoughts), (said, thoughts), "{texts:?}");
            assert!(heard.completion.is_some());
        }
    }
}

#[tokio::test]
async fn more_text_than_was_asked_for_ends_the_answer_as_an_error() {
    for (provider, _) in PROTOCOLS {
        let long = "é".repeat(100);
        let fits = hear(provider, [saying(provider, &[&*long; 5]).as_bytes()]).await;
        assert!(fits.text.len() == MAX_TEXT && fits.completion.is_some());
        for texts in [[&["x"][..], &[&*long; 6]].concat(), vec!["é"; 501]] {
            let heard = hear(provider, [saying(provider, &texts).as_bytes()]).await;
            assert!((MAX_TEXT - 1..=MAX_TEXT).contains(&heard.text.len()), "{}", heard.text.len());
            assert_eq!(heard.error.unwrap().kind, ErrorKind::Protocol);
        }
    }
    assert_eq!(max_text_bytes(800), 16_896);
    assert_eq!(max_text_bytes(u32::MAX) / 16, u32::MAX as usize + 256);
}

#[tokio::test]
async fn figures_that_no_answer_can_have_are_not_counted() {
    let body = concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"Ahoy\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":",
        "18446744073709551615}}\n\ndata: [DONE]\n\n",
    );
    let heard = hear(LlmProtocol::OpenAi, [body.as_bytes()]).await;
    let usage = heard.completion.unwrap().usage;
    assert_eq!((usage.input, usage.output), (Some(9), None));
    assert_eq!(heard.counted_output_tokens, 0.0);
}

#[tokio::test]
async fn a_transport_error_is_passed_on_as_it_is() {
    let (provider, recorded) = PROTOCOLS[1];
    let timeout = LlmError::new(&"openai".into(), ErrorKind::Timeout);
    let body = stream::iter([Ok(Bytes::from(&recorded.as_bytes()[..200])), Err(timeout)]);
    let answer = answer("openai".into(), body, decoder(provider), Unopened::default(), MAX_TEXT);
    let mut pieces: Vec<_> = answer.collect().await;
    assert_eq!(error(pieces.pop().unwrap().unwrap_err()).kind, ErrorKind::Timeout);
}

#[tokio::test]
async fn a_byte_order_mark_does_no_harm() {
    for (provider, recorded) in PROTOCOLS {
        let marked = format!("\u{feff}{recorded}");
        let heard = hear(provider, [marked.as_bytes()]).await;
        assert_eq!(heard.text, "Grüße, Kapitän 🐙");
        assert!(heard.completion.is_some());
    }
}

#[tokio::test]
async fn data_that_is_not_json_is_a_protocol_error() {
    for (provider, _) in PROTOCOLS {
        let heard = hear(provider, [&b"data: <html>\n\n"[..]]).await;
        assert_eq!(heard.error.unwrap().kind, ErrorKind::Protocol);
    }
}
