//! WebSocket frames that break each rule of RFC 6455, and messages that are none of the game's.

use da_testkit::player::{Player, Received};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::case::{Case, play};
use crate::server::{PATIENCE, Server, Settings};

/// Opcodes and the final bit: section 5.2.
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const FINAL: u8 = 0x80;

const NO_WORD: &str = "says nothing of it and plays on";
const NO_MESSAGE: &str = "invalid_message, and plays on";

/// A frame as clients send it, masked with zeros, which change nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).expect("short").to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A player sends these bytes in the middle of a session, and then a line.
fn frames(done: &'static str, bytes: Vec<u8>, expected: &'static str) {
    // What does not come to its end is lost after three of them.
    let settings = Settings::healthy().set("DA_WEBSOCKET__HEARTBEAT_SECONDS", 1);
    play(&Case { done, expected }, settings, async |server| {
        let mut player = server.player().await;
        let before = closes(server).await;
        // The server may have closed in the middle of it.
        let _ = player.socket.get_mut().write_all(&bytes).await;
        if !is_begun(expected) {
            player.say("Still here?").await;
        }
        match hear(&mut player).await {
            Some(said) if said.is_empty() => NO_WORD.to_owned(),
            Some(said) => format!("{}, and plays on", said.join(", ")),
            None => closed_as(server, &before).await,
        }
    });
}

/// A frame that has begun would have the line as its end.
fn is_begun(expected: &str) -> bool {
    expected == "heartbeat_lost"
}

/// The codes of the errors up to the end of a turn, or nothing if the connection ends before.
async fn hear(player: &mut Player) -> Option<Vec<String>> {
    let mut said = Vec::new();
    let hearing = async {
        loop {
            match player.receive().await {
                Received::Message(message) if message["type"] == "turn_end" => return Some(said),
                Received::Message(message) if message["type"] == "error" => {
                    said.push(message["code"].as_str().map_or_else(String::new, str::to_owned));
                }
                Received::Closed(_) => return None,
                Received::Message(_) | Received::Audio(_) => {}
            }
        }
    };
    timeout(PATIENCE, hearing).await.expect("either in time")
}

async fn closes(server: &Server) -> Vec<(String, f64)> {
    let scrape = server.scrape().await;
    let names = scrape.names().filter(|name| name.starts_with("websocket_closes_total{"));
    names.map(|name| (name.to_owned(), scrape.get(name))).collect()
}

/// Why the server says that it closed.
async fn closed_as(server: &Server, before: &[(String, f64)]) -> String {
    let closing = async {
        loop {
            let now = closes(server).await;
            let grown = now.iter().zip(before).find(|(now, before)| now.1 > before.1);
            if let Some(((series, _), _)) = grown {
                return series.split('"').nth(1).expect("a reason").to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, closing).await.expect("counted in time")
}

cases! { frames;
    reserved_bit_1: "the first reserved bit is set", frame(0xc1, b"{}"), "protocol_error";
    reserved_bit_2: "the second reserved bit is set", frame(0xa1, b"{}"), "protocol_error";
    reserved_bit_3: "the third reserved bit is set", frame(0x91, b"{}"), "protocol_error";
    reserved_opcode_3: "opcode 3, which means nothing", frame(0x83, b"{}"), "protocol_error";
    reserved_opcode_7: "opcode 7, which means nothing", frame(0x87, b"{}"), "protocol_error";
    reserved_control_b: "opcode B, which means nothing", frame(0x8b, b""), "protocol_error";
    reserved_control_f: "opcode F, which means nothing", frame(0x8f, b""), "protocol_error";
    unmasked_text: "a text without a mask", vec![0x81, 2, b'{', b'}'], "protocol_error";
    unmasked_ping: "a ping without a mask", vec![0x89, 0], "protocol_error";
    long_ping: "a ping of 126 bytes", frame(FINAL | PING, &[0; 126]), "protocol_error";
    long_close: "a close of 126 bytes", frame(FINAL | CLOSE, &[0; 126]), "protocol_error";
    fragmented_ping: "a ping that is to go on", frame(PING, b"a"), "protocol_error";
    fragmented_close: "a close that is to go on", frame(CLOSE, b""), "protocol_error";
    no_utf8: "a text that is not UTF-8", frame(FINAL | TEXT, b"\xff\xfe"), "protocol_error";
    no_utf8_in_parts: "a character whose second half never comes",
        [frame(TEXT, b"\xc3"), frame(FINAL | CONTINUATION, b"(")].concat(), "protocol_error";
    close_of_one_byte: "a close with half a code", frame(FINAL | CLOSE, b"a"), "protocol_error";
    close_without_utf8: "a close whose reason is not UTF-8",
        frame(FINAL | CLOSE, b"\x03\xe8\xff\xff"), "protocol_error|player_left";
    close_with_no_code: "a close with code 999",
        frame(FINAL | CLOSE, b"\x03\xe7"), "protocol_error|player_left";
    close_with_reserved_code: "a close with code 1005, which may not be sent",
        frame(FINAL | CLOSE, b"\x03\xed"), "protocol_error|player_left";
    continues_nothing: "a continuation of nothing",
        frame(FINAL | CONTINUATION, b"{}"), "protocol_error";
    text_within_text: "a text in the middle of another",
        [frame(TEXT, b"{"), frame(FINAL | TEXT, b"}")].concat(), "protocol_error";
    length_of_64_bits: "a length of 2^64 - 1",
        [&[0x81, 0x80 | 127][..], &[0xff; 8], &[0; 4]].concat(),
        "message_too_large|protocol_error";
    length_of_a_gigabyte: "a length of 1 GB, and nothing",
        [&[0x81, 0x80 | 127, 0, 0, 0, 0, 0x40, 0, 0, 0][..], &[0; 4]].concat(), "message_too_large";
    too_long_in_parts: "a message of 40 KB in parts of 10 KB",
        [frame(TEXT, &[b' '; 10_000]), frame(CONTINUATION, &[b' '; 10_000]).repeat(3)].concat(),
        "message_too_large";
    half_a_frame: "half a frame, and silence", vec![0x81, 0x80 | 20, 0, 0, 0, 0, b'{'],
        "heartbeat_lost";
    ping_within_text: "a ping in the middle of a text, which is allowed",
        [frame(TEXT, br#"{"type":"interr"#), frame(FINAL | PING, b""),
         frame(FINAL | CONTINUATION, br#"upt"}"#)].concat(), NO_WORD;
    longer_length_than_needed: "a length in more bytes than it needs",
        [&[0x89, 0x80 | 126, 0, 1][..], &[0; 4], b"a"].concat(),
        "protocol_error|says nothing of it and plays on";
    empty_parts: "5,000 empty parts of a text",
        [frame(TEXT, b""), frame(CONTINUATION, b"").repeat(5_000),
         frame(FINAL | CONTINUATION, br#"{"type":"interrupt"}"#)].concat(), NO_WORD;
    many_pings: "5,000 pings", frame(FINAL | PING, b"").repeat(5_000), NO_WORD;
    no_json: "a text that is no JSON", frame(FINAL | TEXT, b"hello"), NO_MESSAGE;
    empty_text: "an empty text", frame(FINAL | TEXT, b""), NO_MESSAGE;
    deep_json: "a text of 10,000 brackets", frame(FINAL | TEXT, &[b'['; 10_000]), NO_MESSAGE;
    binary: "a binary message", frame(FINAL | BINARY, &[0, 1, 2]), NO_MESSAGE;
    lone_surrogate: "a line with half a character of UTF-16",
        frame(FINAL | TEXT, br#"{"type":"say","text":"\ud800"}"#), NO_MESSAGE;
    field_twice: "a field that comes twice",
        frame(FINAL | TEXT, br#"{"type":"say","text":"a","text":"b"}"#), NO_MESSAGE;
    unknown_field: "a field that nobody knows",
        frame(FINAL | TEXT, br#"{"type":"say","text":"a","system":"b"}"#), NO_MESSAGE;
}
