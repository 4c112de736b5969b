//! Answers that begin well and stop, or never do.

use std::time::Duration;

use da_standin::Flood;

use super::*;
use crate::provider::Step::{Close, Drip, Forever, Hang, Reset, Send, Wait};
use crate::provider::{chunk, head, usual};

/// The first words of an answer.
fn begun(decoder: Decoder) -> Step {
    Send([head(decoder), chunk(&decoder.piece("Aye,"))].concat())
}

/// A whole body in one chunk.
fn flood(decoder: Decoder, flood: Flood, part: usize) -> Vec<Step> {
    let body = flood.body(decoder, part);
    vec![Send([head(decoder), chunk(&body), b"0\r\n\r\n".to_vec()].concat())]
}

models! {
    stops_within: "stops in the middle of its answer",
        |d| vec![begun(d), Hang], "error llm_timeout";
    closes_within: "closes the connection in the middle of its answer",
        |d| vec![begun(d), Close], "error llm_interrupted";
    resets_within: "resets the connection in the middle of its answer",
        |d| vec![begun(d), Wait(Duration::from_millis(100)), Reset], "error llm_interrupted";
    drips: "sends its answer three bytes at a time",
        |d| vec![Drip(usual(d, "Aye."), 3, Duration::from_millis(2))], "success";
    only_comments: "sends comments without an end, and no word",
        |d| vec![Send(head(d)), Forever(chunk(b": ping\n\n"), Duration::from_millis(50))],
        "error llm_timeout";
    newlines: "sends 96 KB of newlines",
        |d| flood(d, Flood::Newlines, 32), "error llm_interrupted";
    comments: "sends 500 KB of empty comments",
        |d| flood(d, Flood::Comments, 32), "error llm_interrupted";
    endless_text: "says something without an end",
        |d| vec![Send(head(d)), Forever(chunk(&d.piece("and then ").repeat(100)), Duration::ZERO)],
        "error llm_protocol";
    endless_line: "sends a line without an end",
        |d| vec![Send(head(d)), Send(chunk(b"data: ")),
                 Forever(chunk(&[b'x'; 16 * 1024]), Duration::ZERO)],
        "error llm_protocol";
}
