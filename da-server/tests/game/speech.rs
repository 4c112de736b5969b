//! What a character says is spoken sentence by sentence, while the model goes on.

use da_standin::{CloseReason, Delay, Event, Fault, Plan};
use da_testkit::player::{Player, Received};
use da_testkit::scrape::Scrape;
use serde_json::json;

use crate::exchanges::Exchange;
use crate::server::{LLM, PATIENCE, Server, TTS};
use crate::stages::seconds;

const SENTENCES: [&str; 4] = [
    "Here is the first sentence.",
    "The second one comes a while later.",
    "By then the third is on its way.",
    "And nobody has waited for the last one.",
];

/// All of the sentences, word by word.
fn saying(apart_ms: f64) -> Plan {
    let text = Some(SENTENCES.join(" "));
    Plan { text, between_chunks_ms: Delay::Fixed(apart_ms), ..Plan::default() }
}

/// Bytes of bare samples that the stand-in speaks a text in: a second for 15 characters.
fn pcm_bytes(text: &str) -> usize {
    text.chars().count() * 16_000 / 15 * 2
}

async fn speaking_pcm() -> Server {
    Server::with(|config| config.tts.output_format = Some("pcm_16000".to_owned())).await
}

fn first_audio(scrape: &Scrape) -> (f64, f64) {
    let of = |what: &str| scrape.sum(&format!("turn_first_audio_seconds_{what}"));
    (of("count"), of("sum"))
}

#[tokio::test]
async fn the_first_sentence_is_heard_before_the_model_has_said_the_last() {
    let server = speaking_pcm().await;
    // 28 words: the last comes more than 3 s after the first sentence.
    server.llm_plan(saying(150.0));
    let mut player = server.player_in("quiet").await;
    player.say("Tell me").await;
    let turn = player.hear_turn().await;
    assert_eq!((turn.status.as_str(), turn.text()), ("success", SENTENCES.join(" ")));
    let model = Exchange::latest(&server, LLM);
    assert!(turn.audio_came[0].0 < model.last_ns, "not at the end");
    let voice = Exchange::all(&server, TTS);
    // Its fifth word is the last of the first sentence.
    let (words, first) = (&model.content, &voice[0]);
    assert!(words[4].0 < first.asked_ns && first.asked_ns < words[11].0, "when it was complete");
    assert!(voice.len() > 2, "{} calls", voice.len());
    assert!(turn.audio_ended);
    // Each utterance is a whole number of samples; none of them is lost or twice.
    let spoken: usize = SENTENCES.iter().map(|sentence| pcm_bytes(sentence)).sum();
    let blanks = SENTENCES.len() * pcm_bytes(" ");
    assert!((spoken..=spoken + blanks).contains(&turn.audio.len()), "{} bytes", turn.audio.len());
}

#[tokio::test]
async fn one_utterance_is_under_way_and_one_ahead() {
    let server = speaking_pcm().await;
    // 16 sentences at once, which are spoken in as many pieces as it takes.
    let text = Some(vec![SENTENCES.join(" "); 4].join(" "));
    server.llm_plan(Plan { text, ..Plan::default() });
    server.tts_plan(Plan {
        // The third is asked when the second has begun, and until that answers the second goes on.
        first_byte_ms: Delay::Fixed(700.0),
        chunks: Some(40),
        between_chunks_ms: Delay::Fixed(50.0),
        ..Plan::default()
    });
    let mut player = server.player_in("quiet").await;
    player.say("Tell me").await;
    assert_eq!(player.hear_turn().await.status, "success");
    let voice = Exchange::all(&server, TTS);
    assert!(voice.len() >= 3, "{} calls", voice.len());
    for (before, after) in voice.iter().zip(&voice[1..]) {
        assert!(
            before.first_ns() < after.asked_ns,
            "nobody is asked before the one before answers"
        );
        assert!(after.asked_ns < before.last_ns, "it is ahead");
    }
    for (before, after) in voice.iter().zip(&voice[2..]) {
        assert!(before.last_ns < after.asked_ns, "one alone is ahead");
    }
}

/// What a turn's messages are, beside its text: kinds, and the bytes of audio in between.
/// `begun`: the type of what was begun before, if anything was.
pub async fn audio_messages(player: &mut Player, begun: &str) -> Vec<(String, usize)> {
    let mut seen = Vec::from_iter((!begun.is_empty()).then(|| (begun.to_owned(), 0)));
    loop {
        let received = tokio::time::timeout(PATIENCE, player.receive()).await;
        match received.expect("the turn ends") {
            Received::Audio(bytes) => seen.last_mut().expect("a stream").1 += bytes.len(),
            Received::Message(message) => match message["type"].as_str().expect("type") {
                "audio_start" => seen.push((message["mime"].as_str().expect("mime").to_owned(), 0)),
                "audio_end" => seen.push(("end".to_owned(), 0)),
                "error" => seen.push((message["code"].as_str().expect("code").to_owned(), 0)),
                "turn_end" => return seen,
                _ => {}
            },
            Received::Closed(why) => panic!("closed: {why:?}"),
        }
    }
}

#[tokio::test]
async fn the_mp3_of_a_turn_is_one_stream_and_bare_samples_are_one_for_each_utterance() {
    for format in ["mp3_44100_128", "pcm_16000"] {
        let server =
            Server::with(|config| config.tts.output_format = Some(format.to_owned())).await;
        server.llm_plan(saying(30.0));
        let mut player = server.player_in("quiet").await;
        player.say("Tell me").await;
        let seen = audio_messages(&mut player, "").await;
        let calls = Exchange::all(&server, TTS).len();
        assert!(calls > 1);
        let streams = if format.starts_with("mp3") { 1 } else { calls };
        assert_eq!(seen.len(), 2 * streams, "{format}: {seen:?}");
        assert!(seen.chunks(2).all(|stream| stream[0].1 > 0 && stream[1].0 == "end"), "{seen:?}");
    }
}

#[tokio::test]
async fn an_interruption_stops_the_model_and_the_voice() {
    let server = speaking_pcm().await;
    server.llm_plan(saying(500.0));
    server.tts_plan(Plan {
        chunks: Some(50),
        between_chunks_ms: Delay::Fixed(500.0),
        ..Plan::default()
    });
    let mut player = server.player_in("quiet").await;
    player.say("Tell me").await;
    player.hear_first_audio().await;
    player.send(json!({"type": "interrupt"})).await;
    assert_eq!(player.wait_for("turn_end").await["status"], "cancelled");
    server.standin.idle().await;
    let log = server.standin.log();
    for name in [LLM, TTS] {
        let is_dropped = log.iter().any(|entry| {
            let by_client = matches!(entry.event, Event::Close { reason: CloseReason::Client, .. });
            by_client && entry.name.as_deref() == Some(name)
        });
        assert!(is_dropped, "{name}");
    }
    let scrape = server.scrape().await;
    assert_eq!(scrape.requests("quiet", "cancelled"), 1.0);
    assert_eq!(first_audio(&scrape).0, 1.0, "who was heard and interrupted was heard");
}

#[tokio::test]
async fn the_stages_up_to_the_first_audio_sum_to_it() {
    let server = speaking_pcm().await;
    server.llm_plan(saying(20.0));
    server.tts_plan(Plan { first_byte_ms: Delay::Fixed(30.0), ..Plan::default() });
    let mut player = server.player_in("quiet").await;
    for _ in 0..3 {
        player.say("Tell me").await;
        player.hear_turn().await;
    }
    let scrape = server.scrape().await;
    let (count, sum) = first_audio(&scrape);
    let before: f64 = seconds(&scrape)
        .into_iter()
        .filter(|(stage, _)| !stage.starts_with("rest"))
        .map(|(_, seconds)| seconds)
        .sum();
    assert_eq!(count, 3.0);
    assert_eq!((before * 1e9).round(), (sum * 1e9).round(), "to the nanosecond");
    assert!(sum < scrape.sum("response_time_seconds_sum"));
}

#[tokio::test]
async fn a_model_that_breaks_off_is_heard_to_the_end_of_a_sentence() {
    let server = speaking_pcm().await;
    // In the middle of the third sentence.
    let cut = Fault::ResetAfterFirstToken { after_chunks: 15 };
    server.llm_plan(Plan { fault: Some(cut), ..saying(60.0) });
    let mut player = server.player_in("quiet").await;
    player.say("Tell me").await;
    let turn = player.hear_turn().await;
    assert_eq!((turn.status.as_str(), turn.error_codes()), ("error", vec!["llm_interrupted"]));
    assert!(turn.text().starts_with(&SENTENCES[..2].join(" ")), "{}", turn.text());
    assert!(turn.audio_ended);
    // No more and no less than the two that are complete, whether spoken as one or with a blank between.
    let bytes = pcm_bytes(&SENTENCES[..2].join(" "));
    assert!(turn.audio.len().abs_diff(bytes) <= pcm_bytes("  "), "{} bytes", turn.audio.len());
}

#[tokio::test]
async fn a_voice_that_fails_later_is_one_error_and_the_words_still_stand() {
    let server = Server::with(|config| config.tts.retry.max_retries = 0).await;
    server.llm_plan(saying(100.0));
    let mut player = server.player_in("quiet").await;
    player.say("Tell me").await;
    player.wait_for("audio_start").await;
    server.tts_plan(Plan { fault: Some(Fault::ServerError), ..Plan::default() });
    let seen = audio_messages(&mut player, "begun").await;
    let kinds: Vec<_> = seen.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["begun", "end", "tts_unavailable"], "what begins also ends");
    assert!(seen[0].1 > 0);
    let stored = server.stored(&player.token).await;
    assert_eq!(stored[0].1, SENTENCES.join(" "));
    let scrape = server.scrape().await;
    assert_eq!(scrape.sum("errors_total"), 1.0);
    assert_eq!(scrape.sum("tts_underrun_margin_seconds_count"), 0.0, "it was not heard to its end");
}

#[tokio::test]
async fn an_opening_is_asked_of_the_voice_once() {
    let server = Server::start().await;
    server.tts_plan(Plan { fault: Some(Fault::ServerError), ..Plan::default() });
    let mut heard = Vec::new();
    for number in 0..4 {
        let mut player = server.player_in("welcome").await;
        heard.push(player.hear_turn().await.audio);
        player.leave().await;
        if number == 0 {
            server.tts_plan(Plan::default());
        }
    }
    assert!(heard[0].is_empty() && !heard[1].is_empty(), "a failure is not remembered");
    assert!(heard[2..].iter().all(|audio| *audio == heard[1]), "each hears the same");
    let spoken = Exchange::all(&server, TTS);
    assert_eq!(spoken.iter().filter(|exchange| !exchange.content.is_empty()).count(), 1);
}

#[tokio::test]
async fn only_who_said_something_waits_for_the_first_audio() {
    let server = Server::start().await;
    let mut player = server.player_in("submarine").await;
    player.press("knock").await;
    while !player.hear_turn().await.text().is_empty() {
        if server.scrape().await.requests("submarine", "success") == 1.0 {
            break;
        }
    }
    assert!(Exchange::all(&server, TTS).iter().any(|spoken| !spoken.content.is_empty()));
    assert_eq!(first_audio(&server.scrape().await).0, 0.0, "a press interrupts nothing");
    player.say("Hello").await;
    player.hear_turn().await;
    server.scrape_until(|s| first_audio(s).0 == 1.0).await;
}

#[tokio::test]
async fn what_has_no_sound_is_not_asked_of_the_voice() {
    let server = Server::start().await;
    server.llm_plan(Plan { text: Some("… — !".to_owned()), ..Plan::default() });
    let mut player = server.player_in("quiet").await;
    player.say("Nothing to say?").await;
    let turn = player.hear_turn().await;
    assert_eq!((turn.status.as_str(), turn.text().as_str()), ("success", "… — !"));
    assert!(turn.audio.is_empty() && turn.mime.is_none() && turn.errors.is_empty());
    assert!(Exchange::all(&server, TTS).is_empty());
}

/// A player who takes nothing for a while keeps neither the model nor their own memory of it waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_goes_on_while_the_player_reads_nothing() {
    let server = Server::with(|config| {
        config.tts.output_format = Some("pcm_48000".to_owned());
        config.websocket.outbound_messages = 4;
        config.websocket.write_timeout_seconds = 60;
    })
    .await;
    // Some 13 MB of audio, far more than the sockets on the way hold; and then a last sentence.
    let text = format!("{} The end.", [SENTENCES.join(" ").as_str(); 14].join(" "));
    server.llm_plan(Plan { text: Some(text.clone()), chunks: Some(200), ..Plan::default() });
    let mut player = server.player_in("quiet").await;
    player.say("Tell me everything").await;
    let said_all = |scrape: &Scrape| scrape.sum("llm_latency_seconds_count") == 1.0;
    let scrape = server.scrape_until(said_all).await;
    assert_eq!(scrape.requests("quiet", "success"), 0.0, "the player has not heard it all");
    let turn = player.hear_turn().await;
    assert_eq!((turn.status.as_str(), turn.text()), ("success", text));
}
