use super::*;

/// The pieces of a text that comes character by character and is spoken at once, and how much of it
/// had come by then.
fn pieces(text: &str) -> Vec<(String, usize)> {
    let mut sentences = Sentences::default();
    let mut pieces = Vec::new();
    let mut came = 0;
    for character in text.chars() {
        sentences.push(character.encode_utf8(&mut [0; 4]));
        came += 1;
        pieces.extend(std::iter::from_fn(|| sentences.take()).map(|piece| (piece, came)));
    }
    sentences.end();
    pieces.extend(std::iter::from_fn(|| sentences.take()).map(|piece| (piece, came)));
    assert_eq!(sentences.text, "", "{text}");
    pieces
}

fn texts(text: &str) -> Vec<String> {
    pieces(text).into_iter().map(|(piece, _)| piece).collect()
}

#[test]
fn a_sentence_is_cut_when_its_last_character_has_come() {
    for first in [
        "The hull holds together.",
        "What do you want from me?",
        "Then turn the wheel, fool!",
        "He said: “Turn the wheel!”",
        "艦体はまだ持ちこたえている、しかし時間がない。",
    ] {
        let rest = " Give me a moment to think.";
        let seen = pieces(&format!("{first}{rest}"));
        let whole = first.chars().count();
        assert_eq!(seen[0].0, first);
        // Whether the sentence goes on after a quotation is known with the next word.
        let latest = if first.ends_with('”') { whole + 2 } else { whole };
        assert!(seen[0].1 <= latest, "{seen:?}");
        assert_eq!(seen[1].0, rest.trim());
    }
}

#[test]
fn what_only_looks_like_an_end_is_none() {
    for whole in [
        "It was Capt. Varga who asked Dr. Lind about it.",
        "The gauge says 3.14 atmospheres, not 31.4 of them.",
        "J. R. Smith said that he likes it down there.",
        "That is enough air, e.g. for two more hours down here.",
        "“Are you out of your mind?” she asked the old man.",
        "It is so quiet to me... let me think about the ballast key.",
        "It is so quiet down here… maybe the valve is stuck.",
        "We have to wait approx. five minutes, etc. until it is open.",
        "Das Schiff sank am 3. Oktober 1912 vor der Küste.",
        "Wir brauchen Sauerstoff bzw. Druckluft aus den Flaschen.",
    ] {
        assert_eq!(texts(whole), [whole]);
    }
}

#[test]
fn what_a_tokenizer_takes_for_one_is_an_end_too() {
    let mut sentences = Sentences::default();
    for token in ["Let", " me", " think", " about", " that", "...", " Where", " did"] {
        sentences.push(token);
    }
    assert_eq!(sentences.take().as_deref(), Some("Let me think about that..."));
    let list = "1. Open the valve slowly.\n2. Close the hatch behind you.\n3. Wait for me there.";
    let pieces =
        ["1. Open the valve slowly.", "2. Close the hatch behind you.", "3. Wait for me there."];
    assert_eq!(texts(list), pieces);
}

#[test]
fn quotations_end_as_their_language_has_it() {
    for first in [
        "„Komm her, mein alter Freund.“",
        "»Komm her, mein alter Freund.«",
        "« Viens ici, mon vieil ami. »",
        "“Come over here, my old friend.”",
        "\"Come over here, my old friend.\"",
    ] {
        let last = "Dann ging er fort.";
        assert_eq!(texts(&format!("{first} {last}")), [first, last]);
    }
}

#[test]
fn a_quotation_may_have_several_sentences() {
    let said = "„Komm her, mein alter Freund. Setz dich doch zu mir.“ Dann ging er fort.";
    let pieces = ["„Komm her, mein alter Freund.", "Setz dich doch zu mir.“", "Dann ging er fort."];
    assert_eq!(texts(said), pieces);
}

#[test]
fn what_has_no_sound_is_not_kept() {
    let mut sentences = Sentences::default();
    sentences.push(&"*** ".repeat(10_000));
    assert_eq!(sentences.take(), None);
    assert!(sentences.text.len() <= SOUNDLESS_BYTES, "{} bytes", sentences.text.len());
    sentences.push("“There is one after all!” ");
    sentences.push("Yes");
    assert!(sentences.take().expect("a piece").ends_with("“There is one after all!”"));
}

#[test]
fn syllables_are_longer_than_letters() {
    assert_eq!(
        texts("もう時間がない。急いでくれ、頼む。"),
        ["もう時間がない。", "急いでくれ、頼む。"]
    );
}

#[test]
fn what_broke_off_is_spoken_up_to_its_last_sentence() {
    let mut sentences = Sentences::default();
    sentences.push("The first is here. The second one is, too. And the third beg");
    sentences.break_off();
    assert_eq!(sentences.take().as_deref(), Some("The first is here. The second one is, too."));
    assert_eq!(sentences.take(), None);
    sentences.push("Not even one");
    sentences.break_off();
    assert_eq!(sentences.take(), None);
}

#[test]
fn dots_that_come_late_are_not_spoken() {
    assert_eq!(
        texts("I will think about that... Give me a moment."),
        ["I will think about that.", "Give me a moment."]
    );
}

#[test]
fn what_is_short_is_spoken_with_the_next_sentence() {
    assert_eq!(
        texts("Oh! No. I did not see you there. Come in."),
        ["Oh! No. I did not see you there.", "Come in."]
    );
    assert_eq!(texts("Ahoy."), ["Ahoy."]);
    assert_eq!(texts("  \n "), [""; 0], "nothing to be spoken");
    assert_eq!(texts("The engine has stopped. — …"), ["The engine has stopped."]);
}

#[test]
fn sentences_that_wait_are_spoken_together_up_to_the_limit() {
    let mut sentences = Sentences::default();
    sentences.push("One sentence is here already. ");
    sentences.push("A second one has come. And a third beg");
    assert_eq!(
        sentences.take().as_deref(),
        Some("One sentence is here already. A second one has come.")
    );
    assert_eq!(sentences.take(), None);
    let sentence = "Here is a sentence of 40 characters, no? ";
    sentences.clear();
    sentences.push(&sentence.repeat(20));
    let piece = sentences.take().expect("a piece");
    assert!(piece.chars().count() <= MAX_CHARACTERS && piece.ends_with("no?"), "{piece}");
    assert!(piece.len() > 4 * sentence.len());
}

#[test]
fn a_sentence_without_an_end_is_cut_at_a_pause() {
    let clause = "and then the water rose again, ";
    let seen = texts(&clause.repeat(20));
    assert!(seen.len() > 1);
    for piece in &seen {
        assert!(piece.ends_with("again,") && piece.chars().count() <= MAX_CHARACTERS, "{piece}");
    }
    let seen = texts(&"word ".repeat(100));
    assert!(seen.iter().all(|piece| piece.ends_with("word")), "{seen:?}");
    let seen = texts(&"x".repeat(500));
    assert_eq!(seen.concat().len(), 500);
    assert!(seen.iter().all(|piece| piece.len() <= MAX_CHARACTERS + 1), "{seen:?}");
}

#[test]
fn no_word_is_lost_whatever_the_pieces() {
    let text = "Ah — there you are… I was waiting! \"Really?\" Yes.\n\nNo. 7 is yours, Mr. Key; \
                take it, and mind the step, which is wet, and the next one, which is wetter, and \
                then the one that is missing altogether, since nobody has ever come back to say \
                where it went, or why, or how one is to get along without it in the dark. 終わり。";
    let spoken = texts(text).join(" ");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&spoken), words(text));
}
