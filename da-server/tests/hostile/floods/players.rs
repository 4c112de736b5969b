//! Players who do more than anyone needs, and one who takes nothing.

use std::time::Duration;

use da_testkit::player::{Player, Received};
use serde_json::json;
use tokio::time::timeout;

use crate::case::{Case, play};
use crate::provider::Step::{Forever, Send};
use crate::provider::{MARK, Provider, chunk, head};
use crate::server::{PATIENCE, Server, Settings};
use da_standin::Decoder;

/// A player sends this so many times at once, and reads on; another plays beside.
fn talkative(done: &'static str, times: usize, message: serde_json::Value, expected: &'static str) {
    let settings = Settings::healthy().set("DA_GAME__REQUESTS_PER_MINUTE", 60);
    play(&Case { done, expected }, settings, async |server| {
        let mut player = server.player().await;
        let talking = async {
            for _ in 0..times {
                player.send(message.clone()).await;
            }
            // What is sent is taken up in its order, or the connection is closed.
            player.mark().await;
            let answered =
                async { while !matches!(player.receive().await, Received::Closed(_)) {} };
            let _ = timeout(Duration::from_millis(500), answered).await;
        };
        let (came, ()) = tokio::join!(server.turn("And I?"), talking);
        came
    });
}

cases! { talkative;
    lines: "a player says 500 lines at once", 500, json!({"type": "say", "text": "And?"}), "success";
    controls: "a player presses 2,000 times at once",
        2_000, json!({"type": "press", "control": "none"}), "success";
    interrupts: "a player interrupts 2,000 times at once",
        2_000, json!({"type": "interrupt"}), "success";
}

#[test]
fn start_and_leave() {
    let case = Case { done: "300 sessions that are begun and left at once", expected: "success" };
    play(&case, Settings::healthy(), async |server| {
        for _ in 0..300 {
            if let Ok(mut player) = Player::connect_from(server.address, None).await {
                player.send(json!({"type": "start", "scene": "submarine"})).await;
            }
        }
        eventually(server).await
    });
}

#[test]
fn too_many_sessions() {
    let case = Case { done: "60 players where there is room for 20", expected: "40 busy, success" };
    let settings = Settings::healthy().set("DA_WEBSOCKET__MAX_SESSIONS", 20);
    play(&case, settings, async |server| {
        let (mut playing, mut busy) = (Vec::new(), 0);
        for _ in 0..60 {
            let mut player = Player::connect(server.address).await;
            player.send(json!({"type": "start", "scene": "quiet"})).await;
            let let_in = async {
                loop {
                    match player.receive().await {
                        Received::Message(message) if message["type"] == "session" => return true,
                        Received::Closed(frame) => {
                            assert!(
                                frame.is_some_and(|frame| frame.reason == "busy"),
                                "it says why"
                            );
                            return false;
                        }
                        _ => {}
                    }
                }
            };
            match timeout(PATIENCE, let_in).await.expect("either in time") {
                true => playing.push(player),
                false => busy += 1,
            }
        }
        drop(playing);
        format!("{busy} busy, {}", eventually(server).await)
    });
}

#[test]
fn who_takes_nothing() {
    let case = Case {
        done: "ten players who take nothing of a voice that never ends",
        expected: "success, ten were closed",
    };
    let endless = |asked: Decoder| {
        let audio = chunk(&[0xaa; 32 * 1024]);
        (asked == Decoder::Audio).then(|| vec![Send(head(asked)), Forever(audio, Duration::ZERO)])
    };
    let settings = Settings::with(Provider::scripted(endless))
        .set("DA_WEBSOCKET__WRITE_TIMEOUT_SECONDS", 1)
        .set("DA_TTS__TIMEOUTS__TOTAL_SECONDS", 60);
    play(&case, settings, async |server| {
        let mut deaf = Vec::new();
        for _ in 0..10 {
            let mut player = server.player().await;
            player.say(MARK).await;
            deaf.push(player);
        }
        let came = server.turn("And I?").await;
        let closed = async {
            while server.scrape().await.closes("slow_player") < 10.0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match timeout(PATIENCE, closed).await {
            Ok(()) => format!("{came}, ten were closed"),
            Err(_) => format!("{came}, {:?}", server.scrape().await),
        }
    });
}

/// A turn, once there is room for another player.
async fn eventually(server: &Server) -> String {
    let free = async {
        while server.scrape().await.get("active_sessions") > 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, free).await.expect("left in time");
    server.turn("Is there room again?").await
}
