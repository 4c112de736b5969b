//! A model's server that has said everything and does not end its answer: the voice does not wait for it.

use std::time::Duration;

use da_server::calls::CallKind;
use da_server::llm::LlmProtocol;
use da_testkit::raw::{Answer, Ending, Raw};

use crate::server::Server;

const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Aye.\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[tokio::test]
async fn the_voice_is_asked_before_the_end_of_the_answer_is_given_up() {
    for said in [&[TEXT, STOP][..], &[TEXT, STOP, DONE], &[TEXT, DONE]] {
        let chunks = said.iter().map(|event| event.as_bytes().to_vec()).collect();
        let raw = Raw::serve(Answer {
            media_type: "text/event-stream",
            chunks,
            pause: Duration::from_millis(20),
            ending: Ending::Silence,
        })
        .await;
        let server = Server::with(|config| {
            config.llm.protocol = LlmProtocol::OpenAi;
            config.llm.base_url = Some(format!("http://{}", raw.address));
        })
        .await;
        let mut player = server.player_in("quiet").await;
        player.say("Report!").await;
        let turn = player.hear_turn().await;
        assert_eq!((turn.status.as_str(), turn.text().as_str()), ("success", "Aye."));
        assert!(!turn.audio.is_empty());
        // The model's call ends when its server is given up, which is later.
        server.scrape_until(|scrape| scrape.sum("llm_latency_seconds_count") == 1.0).await;
        let of = |kind| server.calls.latest().into_iter().find(|call| call.kind == kind);
        let both = async {
            loop {
                if let (Some(llm), Some(tts)) = (of(CallKind::Llm.into()), of(CallKind::Tts.into()))
                {
                    return (llm, tts);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let (llm, tts) = tokio::time::timeout(crate::server::PATIENCE, both).await.expect("calls");
        assert_eq!(llm.outcome.as_str(), "success", "{said:?}");
        let ended =
            Duration::from_millis(llm.began_unix_ms) + Duration::from_nanos(llm.duration_ns);
        let asked = Duration::from_millis(tts.began_unix_ms);
        assert!(asked < ended, "{said:?}: the voice was asked {:?} later", asked - ended);
    }
}
