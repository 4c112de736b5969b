//! Takes what a model thinks out of what it says: local models write it into their answers, between
//! `<think>` and `</think>`.
//!
//! What has been said can't be taken back: where a server leaves the first tag out, only the tag
//! that closes it is.

const OPENING: [&str; 2] = ["<think>", "<thinking>"];
const CLOSING: [&str; 2] = ["</think>", "</thinking>"];

/// Where in an answer we are; pure.
#[derive(Debug, Default)]
pub(super) struct ThoughtFilter {
    thinking: bool,
    /// The beginning of what may become a tag.
    held: String,
}

impl ThoughtFilter {
    /// The part of the next `text` that is said. What may be the beginning of a tag comes later.
    pub(super) fn said(&mut self, text: &str) -> String {
        let mut said = String::new();
        for character in text.chars() {
            self.held.push(character);
            if let Some(thinking) = self.whole_tag() {
                self.thinking = thinking;
                self.held.clear();
            } else if !self.may_become_tag() {
                // Only the character that came last may begin another one.
                self.held.pop();
                self.release(&mut said);
                self.held.push(character);
                if character != '<' {
                    self.release(&mut said);
                }
            }
        }
        said
    }

    /// With the end of the answer: what was held back and is no tag after all.
    pub(super) fn end(&mut self) -> String {
        let mut said = String::new();
        self.release(&mut said);
        said
    }

    fn release(&mut self, said: &mut String) {
        if !self.thinking {
            said.push_str(&self.held);
        }
        self.held.clear();
    }

    /// Whether the model thinks from here on, if what is held is a tag.
    fn whole_tag(&self) -> Option<bool> {
        let is = |tag: &&str| tag.eq_ignore_ascii_case(&self.held);
        if OPENING.iter().any(is) {
            return Some(true);
        }
        CLOSING.iter().any(is).then_some(false)
    }

    fn may_become_tag(&self) -> bool {
        OPENING.iter().chain(&CLOSING).any(|tag| {
            let begins = tag.get(..self.held.len());
            begins.is_some_and(|begins| begins.eq_ignore_ascii_case(&self.held))
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn filtered<'a>(pieces: impl IntoIterator<Item = &'a str>) -> String {
        let mut filter = ThoughtFilter::default();
        let mut said: String = pieces.into_iter().map(|piece| filter.said(piece)).collect();
        said.push_str(&filter.end());
        said
    }

    /// The same from the whole text at once.
    pub(crate) fn obvious(text: &str) -> String {
        let lower = text.to_ascii_lowercase();
        let (mut said, mut at, mut thinking) = (String::new(), 0, false);
        while let Some(next) = text[at..].chars().next() {
            let tag =
                |tags: [&'static str; 2]| tags.into_iter().find(|tag| lower[at..].starts_with(tag));
            if let Some(tag) = tag(OPENING) {
                (thinking, at) = (true, at + tag.len());
            } else if let Some(tag) = tag(CLOSING) {
                (thinking, at) = (false, at + tag.len());
            } else {
                if !thinking {
                    said.push(next);
                }
                at += next.len_utf8();
            }
        }
        said
    }

    #[test]
    fn what_is_thought_is_not_said_however_the_answer_is_cut() {
        for (answer, expected) in [
            ("<think>The player is dull.</think>Ahoy", "Ahoy"),
            ("<thinking>é🐙</thinking>Ahoy", "Ahoy"),
            ("Aye. <think>or no?</think>No.", "Aye. No."),
            ("<think>one</think>1<think>two</think>2", "12"),
            ("<THINK>x</Think>Ahoy", "Ahoy"),
            ("<think>a < b, <b>, </thin, <think> again</think>Ahoy", "Ahoy"),
            ("<think>it never ends", ""),
            ("<think>it never ends</think", ""),
            ("left over</think>Ahoy", "left overAhoy"),
            ("<<think>x</think>>", "<>"),
        ] {
            assert_eq!(obvious(answer), expected, "{answer}");
            assert_eq!(filtered([answer]), expected, "{answer}");
            let characters = answer.char_indices().map(|(at, c)| &answer[at..at + c.len_utf8()]);
            assert_eq!(filtered(characters), expected, "{answer}");
            for (at, _) in answer.char_indices() {
                let (before, after) = answer.split_at(at);
                assert_eq!(filtered([before, after]), expected, "{answer} cut at {at}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_tag_is_said_in_full() {
        for text in [
            "a < b",
            "<",
            "<thin",
            "<think",
            "a <thinker> and </thin>",
            "</",
            "<<<thin<k>",
            "< think>",
            "<think >",
            "<é",
            "<thinkin🐙",
        ] {
            assert_eq!(filtered([text]), text);
            let characters = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]);
            assert_eq!(filtered(characters), text);
        }
    }

    #[test]
    fn text_is_held_back_no_longer_than_it_may_become_a_tag() {
        let mut filter = ThoughtFilter::default();
        assert_eq!(filter.said("a <"), "a ");
        assert_eq!(filter.said(" b <th"), "< b ");
        assert_eq!(filter.said("e>"), "<the>");
    }
}
