//! The tags that models put around their thought.

/// What a tag says of the text behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is thought.
    Opens,
    /// It is said.
    Closes,
    /// The same as before. The tag itself is not said.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Tag {
    /// In lower case; the case does not count. None begins like another one that is whole.
    pub text: &'static str,
    pub meaning: Meaning,
}

const fn opens(text: &'static str) -> Tag {
    Tag { text, meaning: Meaning::Opens }
}

const fn closes(text: &'static str) -> Tag {
    Tag { text, meaning: Meaning::Closes }
}

const fn nothing(text: &'static str) -> Tag {
    Tag { text, meaning: Meaning::Nothing }
}

pub(super) static TAGS: [Tag; 23] = [
    // DeepSeek, Qwen, and most others.
    opens("<think>"),
    closes("</think>"),
    opens("<thinking>"),
    closes("</thinking>"),
    opens("<reasoning>"),
    closes("</reasoning>"),
    // Gemma over Google's API.
    opens("<thought>"),
    closes("</thought>"),
    // Magistral.
    opens("[think]"),
    closes("[/think]"),
    // Seed-OSS.
    opens("<seed:think>"),
    closes("</seed:think>"),
    // Kimi-VL.
    opens("◁think▷"),
    closes("◁/think▷"),
    // Gemma 4.
    opens("<|channel>thought"),
    closes("<channel|>"),
    // gpt-oss.
    opens("<|channel|>analysis"),
    opens("<|channel|>commentary"),
    closes("<|channel|>final"),
    nothing("<|start|>assistant"),
    nothing("<|message|>"),
    nothing("<|end|>"),
    nothing("<|return|>"),
];

/// Whether `text` is a tag, or the beginning of one.
pub(super) fn begin_with(text: &str) -> bool {
    TAGS.iter().any(|tag| {
        let begins = tag.text.get(..text.len());
        begins.is_some_and(|begins| begins.eq_ignore_ascii_case(text))
    })
}

#[test]
fn no_tag_begins_like_a_whole_one_or_has_another_within() {
    for tag in &TAGS {
        assert_eq!(tag.text, tag.text.to_ascii_lowercase());
        for other in &TAGS {
            let within = std::ptr::eq(tag, other) || !tag.text.contains(other.text);
            assert!(within, "{tag:?} {other:?}");
        }
    }
}
