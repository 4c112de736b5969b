//! Answers that nobody reads until the receive window is used up.

use std::time::Duration;

use da_server::calls::Call;
use da_server::tts::{Speech, TtsClient};
use da_standin::Plan;
use futures_util::StreamExt;

use super::provider::{Provider, one_worker};

/// How long nobody reads. The peer has half of it to use the window up, on a busy machine too, and it may wait with
/// a segment that is too long for the rest of the window.
const PAUSE: Duration = Duration::from_secs(3);

/// Has this spoken so many times in a row, and does not listen for a while once it begins.
async fn hear(voice: TtsClient, times: usize) {
    let [character, voice_id] = ["c", "v"].map(str::to_owned);
    let speech = Speech {
        text: "Well, well. ".repeat(times),
        said_before: String::new(),
        character,
        voice_id,
    };
    let mut audio = voice.speak(speech).await.expect("audio");
    audio.next().await.expect("a piece").expect("audio");
    tokio::time::sleep(PAUSE).await;
    while let Some(piece) = audio.next().await {
        piece.expect("audio");
    }
}

fn closed_for(call: &Call) -> Duration {
    let socket = call.attempts[0].socket.as_ref().expect("joined");
    Duration::from_nanos(socket.window_closed_ns)
}

#[test]
fn a_window_that_was_closed_is_told_of_the_call() {
    let provider = Provider::start("window.calls.test", Plan::default());
    let Some(desk) = provider.desk() else { return };
    let (voice, players) = (provider.voice(&desk), one_worker());
    // Megabytes at once, and a few kilobytes that fit, however late they are read.
    players.block_on(hear(voice.clone(), 200));
    players.block_on(hear(voice, 1));

    let calls = desk.known(2);
    let [large, small] = &calls[..] else { panic!("{calls:?}") };
    println!("{:?} of {} bytes", closed_for(large), large.attempts[0].body_bytes);
    assert!(closed_for(large) >= PAUSE / 2, "{large:?}");
    assert!(closed_for(large) <= Duration::from_nanos(large.duration_ns), "{large:?}");
    assert_eq!(closed_for(small), Duration::ZERO, "{small:?}");
}
