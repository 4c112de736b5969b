//! A model whose thought no tag opens: what shows as thought too late is neither kept nor spoken.

use std::time::Duration;

use da_server::llm::LlmProtocol;
use da_testkit::raw::{Answer, Ending, Raw};
use serde_json::{Value, json};

use crate::server::Server;

fn event(value: &Value) -> Vec<u8> {
    format!("data: {value}\n\n").into_bytes()
}

fn says(text: &str) -> Vec<u8> {
    event(&json!({"choices": [{"delta": {"content": text}}]}))
}

#[tokio::test]
async fn thought_that_was_shown_is_neither_kept_nor_spoken_and_later_thought_not_shown() {
    let stop = event(&json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}));
    let raw = Raw::serve(Answer {
        media_type: "text/event-stream",
        chunks: vec![says("hm, dull…"), says(" so what?</th"), says("ink>\n\nAhoy"), stop],
        pause: Duration::from_millis(20),
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
        ("success", "hm, dull… so what?Ahoy")
    );
    player.say("And now?").await;
    assert_eq!(player.hear_turn().await.text(), "Ahoy");
    let scrape = server.scrape().await;
    assert_eq!(scrape.sum("tts_characters_total"), 8.0, "spoken twice");

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
