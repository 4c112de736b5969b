//! How much of a conversation is sent to a model: the newest part that fits.

use super::{Message, Prompt, Role};

/// Estimate of the bytes of one token. English has about four and most other languages fewer; the provider
/// refuses what is too long all the same.
const BYTES_PER_TOKEN: usize = 3;

/// How many bytes of instructions and conversation fit into `context_tokens`, if the answer may have
/// `max_tokens`.
pub(super) fn context_bytes(context_tokens: u32, max_tokens: u32) -> usize {
    (context_tokens.saturating_sub(max_tokens) as usize).saturating_mul(BYTES_PER_TOKEN)
}

/// How long it is, instructions included.
pub(super) fn bytes(system: &str, messages: &[Message]) -> usize {
    system.len() + messages.iter().map(|message| message.text.len()).sum::<usize>()
}

/// The newest part of a conversation that fits into `max_bytes` with the instructions; at least its last
/// line.
pub(super) fn newest(prompt: &Prompt, max_bytes: usize) -> &[Message] {
    let mut rest = prompt.messages.as_slice();
    while bytes(&prompt.system, rest) > max_bytes {
        match after_a_turn(rest, 1) {
            Some(shorter) => rest = shorter,
            None => break,
        }
    }
    rest
}

/// The newer half of a conversation; `None` if its last line is all there is.
pub(super) fn newer_half(messages: &[Message]) -> Option<&[Message]> {
    after_a_turn(messages, messages.len() / 2)
}

/// Without the first `count`, and without what then is no line of the player at its beginning: some
/// models insist that the player began.
fn after_a_turn(messages: &[Message], count: usize) -> Option<&[Message]> {
    let last = messages.len().checked_sub(1).filter(|last| *last > 0)?;
    let begins = (count.max(1)..last).find(|index| messages[*index].role == Role::Player);
    Some(&messages[begins.unwrap_or(last)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(lines: &[&str]) -> Prompt {
        let roles = [Role::Player, Role::Character].into_iter().cycle();
        let line = |(role, text): (Role, &&str)| Message { role, text: (*text).to_owned() };
        Prompt {
            system: "12345".to_owned(),
            messages: roles.zip(lines).map(line).collect(),
            temperature: None,
            max_tokens: 10,
        }
    }

    fn texts(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.text.as_str()).collect()
    }

    #[test]
    fn what_fits_is_shown_and_begins_with_the_player() {
        let all = prompt(&["a1", "b1", "a2", "b2", "a3"]);
        for (room, shown) in [
            (15, &["a1", "b1", "a2", "b2", "a3"][..]),
            (14, &["a2", "b2", "a3"]),
            (11, &["a2", "b2", "a3"]),
            (10, &["a3"]),
            (0, &["a3"]),
        ] {
            assert_eq!(texts(newest(&all, room)), shown, "{room}");
        }
        let mut greeted = prompt(&["a1", "b1"]);
        greeted.messages.rotate_left(1);
        assert_eq!(texts(newest(&greeted, 9)), ["b1", "a1"], "nothing is left out for its order");
    }

    #[test]
    fn halves_end_with_the_last_line() {
        let all = prompt(&["a1", "b1", "a2", "b2", "a3", "b3", "a4"]);
        let half = newer_half(&all.messages).expect("half");
        assert_eq!(texts(half), ["a3", "b3", "a4"]);
        let quarter = newer_half(half).expect("less");
        assert_eq!(texts(quarter), ["a4"]);
        assert_eq!(newer_half(quarter), None);
    }

    #[test]
    fn the_answer_has_its_share_of_the_context() {
        assert_eq!(context_bytes(4096, 96), 12_000);
        assert_eq!(context_bytes(100, 800), 0);
    }
}
