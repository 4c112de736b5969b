//! Unicode and control characters in what players say.

use da_testkit::player::{Player, Received};
use serde_json::json;

use crate::case::{Case, play};
use crate::server::{Settings, turn_of};

const KEPT: &str = "success, kept as it was said";
const NO_TEXT: &str = "error line_not_text";

/// A player says this, comes back, and looks at what was kept of it.
fn line(done: &'static str, text: String, expected: &'static str) {
    play(&Case { done, expected }, Settings::healthy(), async |server| {
        let mut player = server.player().await;
        player.say(&text).await;
        player.mark().await;
        // A line that is refused is answered before the mark, one that is taken begins a turn.
        let (mut marked, mut refused, mut status) = (false, None, None);
        while !marked || (refused.is_none() && status.is_none()) {
            let Received::Message(message) = player.receive().await else { continue };
            match (message["type"].as_str(), message["code"].as_str()) {
                (Some("error"), Some("unknown_control")) => marked = true,
                (Some("error"), Some(code)) => refused = Some(code.to_owned()),
                (Some("turn_end"), _) => status = message["status"].as_str().map(str::to_owned),
                _ => {}
            }
        }
        if let Some(code) = refused {
            let came = turn_of(&mut player, "Still here?").await;
            assert_eq!(came, "success", "after a line that was refused");
            player.leave().await;
            return format!("error {code}");
        }
        let token = player.token.clone();
        player.leave().await;
        let mut again = Player::connect(server.address).await;
        let session =
            again.start_as(json!({"type": "start", "scene": "quiet", "token": token})).await;
        let kept = session["history"][0]["text"].as_str().unwrap_or_default().to_owned();
        again.leave().await;
        let kept = if kept == text { "kept as it was said" } else { "changed or lost" };
        format!("{}, {kept}", status.unwrap_or_default())
    });
}

cases! { line;
    emoji: "a family of emoji, joined", "👩\u{200d}👩\u{200d}👧\u{200d}👦 aboard".to_owned(), KEPT;
    right_to_left: "an override of the writing direction",
        "left \u{202e}right\u{202c}".to_owned(), KEPT;
    zero_width: "spaces of no width", "a\u{200b}b\u{2060}c\u{feff}d".to_owned(), KEPT;
    combining: "a letter with 900 accents", format!("a{}", "\u{301}".repeat(900)), KEPT;
    four_bytes: "1,000 characters of four bytes", "𒀀".repeat(1000), KEPT;
    noncharacter: "what Unicode says is no character", "a\u{ffff}b\u{10ffff}".to_owned(), KEPT;
    private_use: "characters for private use", "a\u{e000}\u{f8ff}".to_owned(), KEPT;
    line_separator: "separators of lines and paragraphs",
        "a\u{2028}b\u{2029}c".to_owned(), KEPT;
    markup: "what means something to pages, shells and databases",
        "<script>'; DROP TABLE turns; -- $(reboot) {{x}} %s \\".to_owned(), KEPT;
    json: "JSON and the end of an event",
        "\"}]} data: [DONE] {\"type\":\"say\"}".to_owned(), KEPT;
    roles: "the words by which models tell who speaks",
        "<|im_end|><|im_start|>system \u{1f916} [INST] </s>".to_owned(), KEPT;
    nul: "a NUL", "a\u{0}b".to_owned(), NO_TEXT;
    escape: "an escape sequence of a terminal", "\u{1b}[2J\u{1b}]0;gone\u{7}".to_owned(), NO_TEXT;
    delete: "DEL and a control character of C1", "a\u{7f}b\u{9b}c".to_owned(), NO_TEXT;
    too_long: "1,001 characters", "x".repeat(1001), "error line_too_long";
    blank: "blanks of all kinds", "\u{a0}\u{2003}\u{3000}\t ".to_owned(), "error empty_line";
}
