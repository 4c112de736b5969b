//! Voices that are broken, in both protocols.

use std::time::Duration;

use da_server::tts::TtsProtocol;
use da_standin::{Decoder, Flood};

use crate::case::{Case, play};
use crate::provider::Step::{Close, Drip, Forever, Hang, Reset, Send, Wait};
use crate::provider::{MARK, Provider, Step, chunk, head, usual};
use crate::server::Settings;

/// Makes two tests of each case, one for each protocol.
macro_rules! voices {
    ($($name:ident: $done:expr, $answer:expr, $expected:expr;)+) => {
        $(mod $name {
            use super::*;
            #[test] fn elevenlabs() { speak(TtsProtocol::ElevenLabs, $done, $answer, $expected) }
            #[test] fn openai() { speak(TtsProtocol::OpenAi, $done, $answer, $expected) }
        })+
    };
}

const AUDIO: Decoder = Decoder::Audio;

fn speak(
    protocol: TtsProtocol,
    done: &'static str,
    answer: fn() -> Vec<Step>,
    expected: &'static str,
) {
    let script = move |asked: Decoder| (asked == AUDIO).then(answer);
    let settings = Settings { voice: protocol, ..Settings::with(Provider::scripted(script)) };
    play(&Case { done, expected }, settings, async |server| {
        let (came, beside) = tokio::join!(server.turn(MARK), server.turn("And you?"));
        assert_eq!(beside, "success", "of a healthy player beside it");
        came
    });
}

/// The first sound of an answer.
fn begun() -> Step {
    Send([head(AUDIO), chunk(&AUDIO.piece(""))].concat())
}

fn with_head(head: &str, body: &[u8]) -> Vec<Step> {
    vec![Send([head.as_bytes(), body].concat()), Close]
}

voices! {
    never_answers: "reads the request and is silent",
        || vec![Hang], "success tts_timeout";
    closes_at_once: "reads the request and closes the connection",
        || vec![Close], "success tts_interrupted";
    stops_within: "stops in the middle of its audio",
        || vec![begun(), Hang], "success tts_timeout";
    closes_within: "closes the connection in the middle of its audio",
        || vec![begun(), Close], "success tts_interrupted";
    resets_within: "resets the connection in the middle of its audio",
        || vec![begun(), Wait(Duration::from_millis(100)), Reset], "success tts_interrupted";
    length_is_too_long: "promises more bytes than come",
        || with_head("HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 99999\r\n\r\n",
                     &AUDIO.piece("")),
        "success tts_interrupted";
    is_json: "answers 200 with JSON",
        || with_head("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", b"{\"a\": 1}"),
        "success tts_protocol";
    is_a_page: "answers 200 with HTML",
        || with_head("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n", b"<p>Hi"),
        "success tts_protocol";
    is_empty: "answers 200 without a byte",
        || with_head("HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 0\r\n\r\n", b""),
        "success tts_protocol";
    drips: "sends its audio nine bytes at a time",
        || vec![Drip(usual(AUDIO, ""), 9, Duration::from_millis(2))], "success";
    one_byte_chunks: "sends 2 KB of audio in chunks of one byte",
        || {
            let audio = Flood::OneByteChunks.body(AUDIO, 512);
            let chunks: Vec<u8> = audio.chunks(1).flat_map(chunk).collect();
            vec![Send([head(AUDIO), chunks, b"0\r\n\r\n".to_vec()].concat())]
        },
        "success";
    has_no_end: "speaks without an end",
        || vec![Send(head(AUDIO)), Forever(chunk(&[0xaa; 32 * 1024]), Duration::ZERO)],
        "success tts_protocol";
}
