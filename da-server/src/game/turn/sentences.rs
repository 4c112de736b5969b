//! Cuts the text of an answer into pieces to be spoken, while more of it comes.
//!
//! A piece is one sentence or more. The first is cut as soon as it can be, so that the player hears
//! something early; later ones hold all the sentences that are there when the voice is ready for them,
//! as a voice speaks a longer text better.

/// What is shorter is over before the next piece can be spoken, and is spoken with the next sentence.
const MIN_CHARACTERS: usize = 20;

/// From here on a sentence is cut at a comma or the like, or at a blank if it has none.
const MAX_CHARACTERS: usize = 240;

/// Abbreviations that a name or a number follows, in lower case. Those of one letter need no place here.
const ABBREVIATIONS: [&str; 20] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "no", "nr", "capt", "cpt", "lt",
    "sgt", "col", "gen", "cmdr", "rev", "ca",
];

/// The text of one answer that is not spoken yet.
#[derive(Default)]
pub(super) struct Sentences {
    text: String,
    is_over: bool,
}

impl Sentences {
    /// More text has come.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// No more text comes: what is left is a sentence.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// Forgets what is not spoken yet.
    pub(super) fn clear(&mut self) {
        self.text.clear();
    }

    /// All sentences that are complete, up to [`MAX_CHARACTERS`] if more than one; `None` if there is too
    /// little to be spoken yet.
    pub(super) fn take(&mut self) -> Option<String> {
        loop {
            let end = self.end_of_piece()?;
            let rest = self.text.split_off(end);
            let piece = std::mem::replace(&mut self.text, rest);
            // Quotation marks and dashes alone have no sound.
            if piece.chars().any(char::is_alphanumeric) {
                let is_of_the_last = |c: char| c.is_whitespace() || c == '.' || is_end_of_quote(c);
                return Some(piece.trim_start_matches(is_of_the_last).trim_end().to_owned());
            }
        }
    }

    /// Where the next piece ends, in bytes.
    fn end_of_piece(&self) -> Option<usize> {
        let mut piece = None;
        let mut characters = 0;
        for (at, character) in self.text.char_indices() {
            characters += 1;
            let end = at + character.len_utf8();
            if characters > MAX_CHARACTERS && (piece.is_some() || !self.is_short(end)) {
                return Some(piece.unwrap_or_else(|| clause_end(&self.text[..at])));
            }
            if characters >= MIN_CHARACTERS && self.ends_at(end) {
                piece = Some(end);
            }
        }
        let whole = (self.is_over && !self.text.is_empty()).then_some(self.text.len());
        whole.or(piece)
    }

    /// Whether the answer is over soon after `end`, so that it needs no cut in the middle of a sentence.
    fn is_short(&self, end: usize) -> bool {
        self.is_over && self.text.len() - end < MIN_CHARACTERS
    }

    /// Whether a sentence ends at this byte.
    fn ends_at(&self, end: usize) -> bool {
        let (before, after) = self.text.split_at(end);
        if before.ends_with('\n') {
            return true;
        }
        let closed = before.trim_end_matches(is_closing);
        let Some(last) = closed.chars().next_back() else { return false };
        let next = after.chars().next();
        if is_wide_end(last) {
            return next.is_none_or(|next| !is_closing(next) && !is_wide_end(next));
        }
        if !matches!(last, '.' | '!' | '?' | '…') || next.is_some_and(|next| !next.is_whitespace())
        {
            return false;
        }
        let follows = after.trim_start().chars().next();
        let is_quoted = closed.len() < before.len();
        match follows {
            // As in `“Really?” she said`.
            Some(follows) => !follows.is_lowercase() && (last != '.' || !is_abbreviated(closed)),
            // Nobody waits for the next word to know that this one was the last. Where more is likely, it is
            // waited for.
            None if self.is_over => true,
            None => !is_quoted && !has_open_quote(closed) && (last != '.' || !may_go_on(closed)),
        }
    }
}

/// Whether this text ends in an abbreviation, or in dots that more may follow.
fn is_abbreviated(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let word = text.rsplit(|c: char| c.is_whitespace() || is_opening(c)).next().unwrap_or(text);
    if word.is_empty() || word.ends_with('.') {
        return true;
    }
    let last = word.rsplit('.').next().unwrap_or(word);
    let is_initial =
        last.chars().count() == 1 && last.chars().all(|c| c.is_alphabetic() && c != 'I');
    is_initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// Whether more than this text's last dot may belong to the sentence: it is no dot that ends one, or may be
/// that of a decimal number.
fn may_go_on(text: &str) -> bool {
    is_abbreviated(text) || text.trim_end_matches('.').ends_with(|c: char| c.is_ascii_digit())
}

fn has_open_quote(text: &str) -> bool {
    let count = |quote: char| text.matches(quote).count();
    count('“') > count('”') || count('"') % 2 == 1 || count('«') > count('»')
}

/// Ends sentences without a blank after it.
fn is_wide_end(character: char) -> bool {
    matches!(character, '。' | '！' | '？')
}

fn is_closing(character: char) -> bool {
    is_end_of_quote(character) || matches!(character, '"' | '\'' | '*')
}

/// Never begins anything.
fn is_end_of_quote(character: char) -> bool {
    matches!(character, '”' | '’' | '»' | ')' | ']' | '」')
}

fn is_opening(character: char) -> bool {
    matches!(character, '"' | '\'' | '“' | '‘' | '«' | '(' | '[' | '*')
}

/// Where a sentence that is too long is cut: after its last comma, semicolon, colon or dash, else at its
/// last blank, else at its end.
fn clause_end(text: &str) -> usize {
    let is_pause = |c: char| matches!(c, ',' | ';' | ':' | '—' | '–' | '，' | '、');
    let after = |at: usize| at + text[at..].chars().next().map_or(0, char::len_utf8);
    let is_late = |at: &usize| *at >= MIN_CHARACTERS;
    let cut = text.rfind(is_pause).filter(is_late).or_else(|| text.rfind(char::is_whitespace));
    cut.filter(is_late).map_or(text.len(), after)
}

#[cfg(test)]
mod tests {
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
            "The hull holds for now.",
            "What do you want from me?",
            "Then turn the wheel, fool!",
            "He said: “Turn the wheel!”",
            "I will think about it…",
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
            "Well, well... let me think about the ballast key",
        ] {
            assert_eq!(texts(whole), [whole]);
        }
    }

    #[test]
    fn dots_that_come_late_are_not_spoken() {
        assert_eq!(
            texts("I will think about it... Give me a moment."),
            ["I will think about it.", "Give me a moment."]
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
            assert!(
                piece.ends_with("again,") && piece.chars().count() <= MAX_CHARACTERS,
                "{piece}"
            );
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
}
