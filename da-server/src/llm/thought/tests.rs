use super::*;

fn filter(unopened: &Unopened) -> ThoughtFilter {
    ThoughtFilter::new(unopened.clone(), 100)
}

/// What a player is left with.
fn filtered<'a>(unopened: &Unopened, pieces: impl IntoIterator<Item = &'a str>) -> String {
    let mut filter = filter(unopened);
    let mut all = String::new();
    for piece in pieces {
        let said = filter.said(piece);
        if said.taken_back {
            all.clear();
        }
        all.push_str(&said.text);
    }
    all.push_str(&filter.end(true));
    all
}

/// The same from the whole text at once.
pub(crate) fn obvious(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let (mut said, mut at, mut thinking, mut tagged) = (String::new(), 0, false, false);
    while let Some(next) = text[at..].chars().next() {
        let Some(tag) = TAGS.iter().find(|tag| lower[at..].starts_with(tag.text)) else {
            if !thinking {
                said.push(next);
            }
            at += next.len_utf8();
            continue;
        };
        at += tag.text.len();
        if tag.meaning == Meaning::Nothing {
            continue;
        }
        thinking = tag.meaning == Meaning::Opens;
        if !thinking && !tagged {
            said.clear();
        }
        tagged = true;
    }
    said
}

fn characters(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()])
}

#[test]
fn what_is_thought_is_not_said_however_the_answer_is_cut() {
    for (answer, expected) in [
        ("<think>The player is dull.</think>Ahoy", "Ahoy"),
        ("<thinking>é🐙</thinking>Ahoy", "Ahoy"),
        ("Aye. <think>or no?</think>No.", "Aye. No."),
        ("Aye. <think>hm<|message|></think>No.", "Aye. No."),
        ("<think>one</think>1<think>two</think>2", "12"),
        ("<THINK>x</Think>Ahoy", "Ahoy"),
        ("<think>a < b, <b>, </thin, <think> again</think>Ahoy", "Ahoy"),
        ("<think>it never ends", ""),
        ("<think>it never ends</think", ""),
        ("left over</think>Ahoy", "Ahoy"),
        ("left over</think>Ahoy</think>, you", "Ahoy, you"),
        ("<<think>x</think>>", "<>"),
        ("[THINK]hm[/THINK]Ahoy [sic]", "Ahoy [sic]"),
        ("hm[/THINK]Ahoy", "Ahoy"),
        ("<thought>hm</thought>Ahoy", "Ahoy"),
        ("<reasoning>hm</reasoning>Ahoy", "Ahoy"),
        ("<seed:think>hm</seed:think>Ahoy", "Ahoy"),
        ("◁think▷hm◁/think▷Ahoy ◁", "Ahoy ◁"),
        ("<|channel>thought\nhm<channel|>Ahoy", "Ahoy"),
        ("<|channel|>analysis hm<|channel|>final Ahoy", " Ahoy"),
        (
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Ahoy<|return|>",
            "Ahoy",
        ),
    ] {
        assert_eq!(obvious(answer), expected, "{answer}");
        let said = |pieces: &[&str]| filtered(&Unopened::default(), pieces.iter().copied());
        assert_eq!(said(&[answer]), expected, "{answer}");
        assert_eq!(said(&characters(answer).collect::<Vec<_>>()), expected, "{answer}");
        for (at, _) in answer.char_indices() {
            let (before, after) = answer.split_at(at);
            assert_eq!(said(&[before, after]), expected, "{answer} cut at {at}");
        }
        let expecting = Unopened::new(true);
        assert_eq!(filtered(&expecting, characters(answer)), expected, "{answer} held back");
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
        "<|channel|>anal",
        "<|channel<|",
        "[[think",
        "< think>",
        "<think >",
        "<é",
        "<thinkin🐙",
    ] {
        for unopened in [Unopened::default(), Unopened::new(true)] {
            assert_eq!(filtered(&unopened, [text]), text);
            assert_eq!(filtered(&unopened, characters(text)), text);
        }
    }
}

#[test]
fn text_is_held_back_no_longer_than_it_may_become_a_tag() {
    let mut filter = filter(&Unopened::default());
    assert_eq!(filter.said("a <").text, "a ");
    assert_eq!(filter.said(" b <th").text, "< b ");
    assert_eq!(filter.said("e>").text, "<the>");
}

#[test]
fn thought_that_no_tag_opened_is_taken_back_and_expected_from_then_on() {
    let unopened = Unopened::default();
    let mut first = filter(&unopened);
    assert_eq!(first.said("hm, dull…").text, "hm, dull…");
    let rest = first.said(" or not?</think>\n\nAhoy");
    assert_eq!(rest, Said { taken_back: true, text: "\n\nAhoy".to_owned() });
    assert_eq!(first.end(true), "");
    let mut next = filter(&unopened);
    assert_eq!(next.said("hm, again…"), Said::default(), "held back");
    assert_eq!(next.said("</think>A").text, "A");
    assert_eq!(next.said("hoy").text, "hoy");
    let mut without = filter(&unopened);
    assert_eq!(without.said("Ahoy"), Said::default());
    assert_eq!(without.end(true), "Ahoy", "there is no tag after all");
    let mut cut = filter(&unopened);
    assert_eq!(cut.said("hm, for ever"), Said::default());
    assert_eq!(cut.end(false), "", "it may have been all thought");
}

#[test]
fn a_closing_tag_with_nothing_before_it_teaches_nothing() {
    let unopened = Unopened::default();
    assert_eq!(filtered(&unopened, ["\n", "</think>", "Ahoy"]), "\nAhoy");
    assert!(!unopened.is_expected());
}

#[test]
fn no_more_is_held_back_than_an_answer_may_have() {
    let mut filter = filter(&Unopened::new(true));
    for _ in 0..100_000 {
        assert_eq!(filter.said("hm, dull…"), Said::default());
    }
    assert_eq!(filter.doubtful, None, "it is thought");
    assert_eq!(filter.said("</think>Ahoy").text, "Ahoy");
    assert_eq!(filter.end(true), "");
}
