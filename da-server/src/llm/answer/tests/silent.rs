//! When it is known that all text has come, though the server goes on or falls silent.

use super::*;

/// What is there of an answer whose body has this and then stays silent: text, whether the caller knows
/// that it is all, and whether the answer is over. Nothing is waited for.
fn heard_of_silent(provider: LlmProtocol, body: &str) -> (String, bool, bool) {
    let body = stream::iter([Ok(Bytes::copy_from_slice(body.as_bytes()))]);
    let body = body.chain(stream::pending());
    let mut parts =
        Box::pin(answer("p".into(), body, decoder(provider), Unopened::default(), MAX_TEXT));
    let (mut text, mut complete) = (String::new(), false);
    while let Some(part) = parts.next().now_or_never() {
        match part {
            Some(Ok(Part::Event(LlmEvent::Text(more)))) => text.push_str(&more),
            Some(Ok(Part::Event(LlmEvent::Complete))) => complete = true,
            Some(Ok(Part::Thought)) => {}
            _ => return (text, complete, true),
        }
    }
    (text, complete, false)
}

#[tokio::test]
async fn all_of_the_text_is_known_to_be_there_before_a_silent_server_is_given_up() {
    let all = "Grüße, Kapitän 🐙".to_owned();
    for (provider, recorded) in PROTOCOLS {
        let stop = end_of_stop(provider, recorded);
        // Google's reason comes with text, so that there may be more.
        let alone = provider != LlmProtocol::Google;
        for (length, complete) in [(stop, false), (stop + 2, alone), (recorded.len(), alone)] {
            let told = if length == stop && !alone { "Grüße, " } else { &all };
            let heard = heard_of_silent(provider, &recorded[..length]);
            assert_eq!(heard, (told.to_owned(), complete, false), "{provider:?} up to {length}");
        }
    }
}

#[tokio::test]
async fn what_the_filter_has_held_back_comes_before_the_end_of_the_text() {
    let stop = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
    let said = saying(LlmProtocol::OpenAi, &["a <thin"]).replace("[DONE]", &stop.to_string());
    let heard = heard_of_silent(LlmProtocol::OpenAi, &said);
    assert_eq!(heard, ("a <thin".to_owned(), true, false));
    let empty = format!("data: {stop}\n\n");
    assert_eq!(heard_of_silent(LlmProtocol::OpenAi, &empty), (String::new(), false, false));
}

#[tokio::test]
async fn a_reason_in_every_chunk_ends_nothing_and_text_after_one_alone_is_not_said() {
    let chunk = |text: &str, reason: &str| {
        let choice = json!({"delta": {"content": text}, "finish_reason": reason});
        format!("data: {}\n\n", json!({"choices": [choice]}))
    };
    let each = [chunk("Ahoy", "stop"), chunk(", you", "stop"), chunk("!", "stop")].concat();
    let heard = hear(LlmProtocol::OpenAi, [each.as_bytes()]).await;
    assert_eq!((heard.text.as_str(), heard.complete), ("Ahoy, you!", true));
    let silent = heard_of_silent(LlmProtocol::OpenAi, &each);
    assert_eq!(silent, ("Ahoy, you!".to_owned(), false, false), "there may be more");
    let late = [chunk("Ahoy", ""), chunk("", "stop"), chunk(", you!", "stop")].concat();
    let heard = hear(LlmProtocol::OpenAi, [late.as_bytes()]).await;
    assert_eq!((heard.text.as_str(), heard.complete), ("Ahoy", true));
}
