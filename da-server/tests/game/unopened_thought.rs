//! A model whose thought no tag opens: what shows as thought too late is not kept, and the page is told not to
//! play what was spoken of it.

use std::time::Duration;

use da_server::llm::LlmProtocol;
use da_testkit::raw::{Answer, Ending, Raw};
use serde_json::{Value, json};

use crate::server::Server;

const THOUGHT: &str = "The captain is rather dull today.";

fn event(value: &Value) -> Vec<u8> {
    format!("data: {value}\n\n").into_bytes()
}

fn says(text: &str) -> Vec<u8> {
    event(&json!({"choices": [{"delta": {"content": text}}]}))
}

#[tokio::test]
async fn thought_that_was_shown_is_neither_kept_nor_heard_and_later_thought_not_shown() {
    let stop = event(&json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}));
    let raw = Raw::serve(Answer {
        media_type: "text/event-stream",
        chunks: vec![says(THOUGHT), says(" So what?</th"), says("ink>\n\nAhoy"), stop],
        // Long beside what it takes to ask the voice.
        pause: Duration::from_millis(700),
        ending: Ending::Clean,
    })
    .await;
    let server = Server::with(|config| {
        config.llm.protocol = LlmProtocol::OpenAi;
        config.llm.base_url = Some(format!("http://{}", raw.address));
    })
    .await;
    let mut player = server.player_in("quiet").await;
    player.say("Report!").await;
    let first = player.hear_turn().await;
    assert_eq!(
        (first.status.as_str(), first.text().as_str()),
        ("success", &*format!("{THOUGHT} So what?Ahoy"))
    );
    player.say("And now?").await;
    let second = player.hear_turn().await;
    assert_eq!(second.text(), "Ahoy");
    assert!(!first.audio.is_empty());
    assert_eq!(first.audio, second.audio, "what is to be heard of the first");
    let spoken = server.scrape().await.sum("tts_characters_total");
    let most = 8 + THOUGHT.len() + " So what?".len();
    assert!(spoken > 8.0 && spoken <= most as f64, "{spoken}: it was begun with");

    let token = player.token.clone();
    player.leave().await;
    server.scrape_until(|scrape| scrape.queries("leave_session") == 1.0).await;
    let mut player = server.player().await;
    let back = json!({"type": "start", "scene": "quiet", "token": token});
    let history = player.start_as(back).await["history"].clone();
    let said: Vec<_> =
        history.as_array().expect("lines").iter().map(|line| &line["text"]).collect();
    assert_eq!(said, ["Report!", "Ahoy", "And now?", "Ahoy"]);
}
