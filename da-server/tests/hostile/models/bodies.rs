//! Answers whose bytes are not what they say they are.

use serde_json::json;

use super::*;
use crate::provider::Step::{Close, Send};
use crate::provider::{chunk, head};

/// A whole answer of these pieces before its end.
fn answer(decoder: Decoder, pieces: &[&[u8]]) -> Vec<Step> {
    let mut bytes = head(decoder);
    pieces.iter().for_each(|piece| bytes.extend(chunk(piece)));
    bytes.extend(chunk(decoder.end()));
    bytes.extend(b"0\r\n\r\n");
    vec![Send(bytes)]
}

/// A beginning in chunks, then these bytes as they are.
fn misframed(decoder: Decoder, rest: &str) -> Vec<Step> {
    vec![Send([head(decoder), chunk(&decoder.piece("Aye,")), rest.into()].concat()), Close]
}

/// An event that tells of more tokens than there are.
fn boast(decoder: Decoder) -> Vec<u8> {
    let most = u64::MAX;
    let told = match decoder {
        Decoder::OpenAi => json!({"choices": [], "usage":
            {"prompt_tokens": most, "completion_tokens": most}}),
        Decoder::Google => json!({"usageMetadata":
            {"promptTokenCount": most, "candidatesTokenCount": most}}),
        Decoder::Anthropic | Decoder::Audio => json!({"type": "message_delta", "delta": {},
            "usage": {"input_tokens": most, "output_tokens": most}}),
    };
    format!("data: {told}\n\n").into()
}

models! {
    chunk_size_is_no_number: "a chunk's size is no number",
        |d| misframed(d, "zz\r\ndata\r\n"), "error llm_interrupted";
    chunk_size_overflows: "a chunk's size has 80 bits",
        |d| misframed(d, "fffffffffffffffffff0\r\ndata\r\n"), "error llm_interrupted";
    chunk_is_cut: "a chunk has fewer bytes than its size says",
        |d| misframed(d, "fff\r\ndata"), "error llm_interrupted";
    chunk_is_longer: "a chunk has more bytes than its size says",
        |d| misframed(d, "3\r\ndata and more\r\n"), "error llm_interrupted";
    deep_json: "an event is 10,000 brackets deep",
        |d| answer(d, &[&[b"data: ".to_vec(), b"[".repeat(10_000), b"\n\n".to_vec()].concat()]),
        "error llm_protocol";
    half_an_object: "an event is half an object",
        |d| answer(d, &[b"data: {\"half\":\n\n"]), "error llm_protocol";
    boasts: "tells of 2^64 - 1 tokens",
        |d| answer(d, &[&d.piece("Aye."), &boast(d)]), "success";
    byte_order_mark: "begins with a byte order mark",
        |d| answer(d, &[b"\xef\xbb\xbf", &d.piece("Aye.")]), "success";
    claims_gzip: "says that plain text is compressed",
        |d| {
            let head = String::from_utf8(head(d)).expect("text");
            let head = head.replace("\r\n\r\n", "\r\ncontent-encoding: gzip\r\n\r\n");
            vec![Send([head.into(), chunk(&d.piece("Aye.")), chunk(d.end()),
                       b"0\r\n\r\n".to_vec()].concat())]
        },
        "success";
    control_characters: "says control characters",
        |d| answer(d, &[&d.piece("Aye\u{0}\u{1b}[2J\u{202e}.")]), "success";
    says_nothing: "ends without a word",
        |d| answer(d, &[]), "error llm_protocol";
}
