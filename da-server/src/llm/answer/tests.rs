//! Recorded bytes, cut in every way a network may cut them.

use super::*;
use crate::llm::{Completion, LlmProvider};
use crate::llm::{LlmMetrics, Prices};
use crate::metrics::Registry;

/// What a caller would have seen of an answer.
#[derive(Debug, Default)]
struct Heard {
    text: String,
    completion: Option<Completion>,
    error: Option<LlmError>,
    counted_output_tokens: f64,
}

const PROTOCOLS: [(LlmProvider, &str); 2] = [
    (
        LlmProvider::Anthropic,
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
        LlmProvider::OpenAi,
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
];

async fn hear(provider: LlmProvider, chunks: impl IntoIterator<Item = &[u8]>) -> Heard {
    let body = chunks.into_iter().map(|chunk| Ok(Bytes::copy_from_slice(chunk)));
    let body = stream::iter(body.collect::<Vec<_>>());
    let registry = Registry::new();
    let metrics =
        LlmMetrics::register(&registry, Prices::with(&[]).unwrap()).unwrap().of(provider, "m");
    let tally = Tally::new(provider.wire(false).decoder(), metrics);
    let mut pieces = Box::pin(answer(provider.as_str(), body, tally));
    let mut heard = Heard::default();
    while let Some(piece) = pieces.next().await {
        assert!(heard.completion.is_none() && heard.error.is_none(), "more after the end");
        match piece {
            Ok(LlmEvent::Text(text)) => heard.text.push_str(&text),
            Ok(LlmEvent::Done(completion)) => heard.completion = Some(completion),
            Err(error) => heard.error = Some(error),
        }
    }
    heard.counted_output_tokens = output_tokens(&registry);
    heard
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
async fn a_body_that_ends_anywhere_before_its_end_is_interrupted() {
    for (provider, recorded) in PROTOCOLS {
        // The very last byte only repeats that the last event is over.
        for length in 0..recorded.len() - 2 {
            let heard = hear(provider, [&recorded.as_bytes()[..length]]).await;
            assert!(heard.completion.is_none(), "{provider:?} cut at {length} counts as whole");
            let kind = heard.error.expect("an error").kind;
            assert_eq!(kind, ErrorKind::Interrupted, "{provider:?} cut at {length}");
        }
    }
}

#[tokio::test]
async fn tokens_told_before_an_interruption_are_counted() {
    let (provider, recorded) = PROTOCOLS[0];
    let before_stop = recorded.find("event: message_stop").unwrap();
    let heard = hear(provider, [&recorded.as_bytes()[..before_stop]]).await;
    assert_eq!(heard.error.unwrap().kind, ErrorKind::Interrupted);
    assert_eq!(heard.counted_output_tokens, 7.0);
}

#[tokio::test]
async fn a_transport_error_is_passed_on_as_it_is() {
    let (provider, recorded) = PROTOCOLS[1];
    let timeout = LlmError::new("openai", ErrorKind::Timeout);
    let body = stream::iter([Ok(Bytes::from(&recorded.as_bytes()[..200])), Err(timeout)]);
    let metrics = LlmMetrics::register(&Registry::new(), Prices::with(&[]).unwrap())
        .unwrap()
        .of(provider, "m");
    let tally = Tally::new(provider.wire(false).decoder(), metrics);
    let pieces: Vec<_> = answer("openai", body, tally).collect().await;
    let last = pieces.last().unwrap().as_ref();
    assert_eq!(last.unwrap_err().kind, ErrorKind::Timeout);
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
