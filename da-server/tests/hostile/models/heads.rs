//! Answers that fail before or in their head.

use std::time::Duration;

use super::*;
use crate::provider::Step::{Close, Forever, Hang, Reset, Send};
use crate::provider::{chunk, head, usual};

/// A whole answer with this head, which ends by itself or by the connection's end.
fn with_head(decoder: Decoder, head: &str) -> Vec<Step> {
    let whole = [&*decoder.piece("Aye."), decoder.end()].concat();
    let head = head.replace("LENGTH", &whole.len().to_string());
    let head = head.replace("TYPE", decoder.media_type());
    vec![Send([head.into_bytes(), whole].concat()), Close]
}

/// A head and nothing else; the connection is left open.
fn only(head: &str) -> Vec<Step> {
    vec![Send(head.into())]
}

models! {
    never_answers: "reads the request and is silent",
        |_| vec![Hang], "error llm_timeout";
    closes_at_once: "reads the request and closes the connection",
        |_| vec![Close], "error llm_interrupted";
    resets_at_once: "reads the request and resets the connection",
        |_| vec![Reset], "error llm_interrupted";
    speaks_something_else: "answers as a mail server does",
        |_| vec![Send(b"220 mail.example ESMTP\r\n".to_vec()), Close], "error llm_interrupted";
    endless_head: "sends headers without an end",
        |_| vec![Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
                 Forever(b"x-more: and more\r\n".repeat(100), Duration::ZERO)],
        "error llm_interrupted";
    continues_for_ever: "sends 100 Continue without an end",
        |_| vec![Forever(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), Duration::from_millis(5))],
        "error llm_timeout";
    is_a_page: "answers 200 with HTML",
        |_| only("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\n<p>Hi"),
        "error llm_protocol";
    has_no_content: "answers 204",
        |_| only("HTTP/1.1 204 No Content\r\n\r\n"), "error llm_protocol";
    redirects: "answers 302, to itself",
        |_| only("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"),
        "error llm_protocol";
    length_is_no_number: "answers with content-length: lots",
        |d| with_head(d, "HTTP/1.1 200 OK\r\ncontent-type: TYPE\r\ncontent-length: lots\r\n\r\n"),
        "error llm_interrupted";
    length_is_too_long: "promises more bytes than come before the end of the connection",
        |d| vec![
            Send(format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: 99999\r\n\r\n",
                         d.media_type()).into()),
            Send(d.piece("Aye.")), Close],
        "error llm_interrupted";
    length_is_too_short: "promises fewer bytes than come",
        |d| with_head(d, "HTTP/1.1 200 OK\r\ncontent-type: TYPE\r\ncontent-length: 10\r\n\r\n"),
        "error llm_interrupted";
    length_and_chunks: "answers in chunks, with a length besides",
        |d| vec![Send([
            format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: 3\r\n\
                     transfer-encoding: chunked\r\n\r\n", d.media_type()).into_bytes(),
            chunk(&d.piece("Aye.")), chunk(d.end()), b"0\r\n\r\n".to_vec()].concat())],
        "success";
    ends_with_the_connection: "answers as HTTP/1.0, without a length",
        |d| with_head(d, "HTTP/1.0 200 OK\r\ncontent-type: TYPE\r\n\r\n"), "success";
    answers_twice: "sends a second answer that nobody asked for",
        |d| vec![Send(usual(d, "Aye.").repeat(2))], "success";
    fails_at_length: "answers 500, with a body without an end",
        |_| vec![Send(b"HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()),
                 Forever(chunk(&[b'x'; 1000]), Duration::from_millis(1))],
        "error llm_unavailable";
    asks_for_eternity: "answers 429, to be asked again in 2^64 seconds",
        |_| only("HTTP/1.1 429 Slow\r\nretry-after: 18446744073709551615\r\n\
                  content-length: 0\r\n\r\n"),
        "error llm_rate_limited";
    stops_after_its_head: "sends a head and is silent",
        |d| vec![Send(head(d)), Hang], "error llm_timeout";
    closes_after_its_head: "sends a head and closes the connection",
        |d| vec![Send(head(d)), Close], "error llm_interrupted";
}
