//! Cuts the text of an answer into pieces to be spoken, while more of it comes.
//!
//! A piece is one sentence or more. The first is cut as soon as it can be, so that the player hears
//! something early; later ones hold all the sentences that are there when the voice is ready for them,
//! as a voice speaks a longer text better.

/// What is shorter is over before the next piece can be spoken, and is spoken with the next sentence.
const MIN_CHARACTERS: usize = 20;

/// From here on a sentence is cut at a comma or the like, or at a blank if it has none.
const MAX_CHARACTERS: usize = 240;

/// How much without sound is kept at the beginning of a piece.
const SOUNDLESS_BYTES: usize = 12;

/// How far from its end an answer that broke off is searched for the end of a sentence.
const TAIL_BYTES: usize = 2 * MAX_CHARACTERS;

/// Abbreviations in the midst of a sentence, in lower case. Those of one letter need no place here.
const ABBREVIATIONS: [&str; 62] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "mt", "sr", "jr", "vs", "no", "nr", "capt", "cpt", "lt",
    "sgt", "maj", "col", "gen", "adm", "cmdr", "gov", "sen", "rev", "hon", "ca", "approx", "etc",
    "incl", "est", "dept", "vol", "fig", "max", "min", "jan", "feb", "mar", "apr", "aug", "sep",
    "sept", "oct", "okt", "nov", "dec", "dez", "hr", "fr", "bzw", "inkl", "evtl", "ggf", "usw",
    "bspw", "vgl", "sog", "mme", "mlle", "env", "inc", "ltd",
];

/// A word of so many letters is no abbreviation, if it is not in the list: nobody waits for the next one.
const LONG_WORD_CHARACTERS: usize = 4;

/// The text of one answer that is not spoken yet.
#[derive(Default)]
pub(super) struct Sentences {
    text: String,
    is_over: bool,
    /// Those of what was taken.
    quotes: Quotes,
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

    /// No more text comes, and the sentence in which it broke off is forgotten.
    pub(super) fn break_off(&mut self) {
        // Whatever has no end in so much is cut somewhere in any case.
        let from = self.text.floor_char_boundary(self.text.len().saturating_sub(TAIL_BYTES));
        let ends = self.text[from..].char_indices().map(|(at, c)| from + at + c.len_utf8());
        let end = ends.rev().find(|end| self.ends_at(*end)).unwrap_or(from);
        self.text.truncate(end);
        self.is_over = true;
    }

    /// All sentences that are complete, up to [`MAX_CHARACTERS`] if more than one; `None` if there is too
    /// little to be spoken yet.
    pub(super) fn take(&mut self) -> Option<String> {
        self.drop_soundless_beginning();
        let end = self.end_of_piece()?;
        let rest = self.text.split_off(end);
        let piece = std::mem::replace(&mut self.text, rest);
        self.quotes = self.quotes.and(&piece);
        let has_sound = piece.chars().any(char::is_alphanumeric);
        has_sound.then(|| without_rest_of_the_last(piece.trim()).to_owned())
    }

    /// Quotation marks and dashes alone have no sound, but may belong to what comes after them.
    fn drop_soundless_beginning(&mut self) {
        let begins = self.text.find(char::is_alphanumeric).unwrap_or(self.text.len());
        let from = self.text.floor_char_boundary(begins.saturating_sub(SOUNDLESS_BYTES));
        self.text.drain(..from);
    }

    /// Where the next piece ends, in bytes.
    fn end_of_piece(&self) -> Option<usize> {
        let mut piece = None;
        let mut length = 0;
        for (at, character) in self.text.char_indices() {
            length += spoken_length(character);
            let end = at + character.len_utf8();
            if length > MAX_CHARACTERS && (piece.is_some() || !self.is_nearly_over(end)) {
                return Some(piece.unwrap_or_else(|| clause_end(&self.text[..at])));
            }
            if length >= MIN_CHARACTERS && self.ends_at(end) {
                piece = Some(end);
            }
        }
        let whole = (self.is_over && !self.text.is_empty()).then_some(self.text.len());
        whole.or(piece)
    }

    /// Whether so little comes after `end` that the sentence needs no cut.
    fn is_nearly_over(&self, end: usize) -> bool {
        let rest = self.text[end..].chars().map(spoken_length).sum::<usize>();
        self.is_over && rest < MIN_CHARACTERS
    }

    /// Whether a sentence ends at this byte.
    fn ends_at(&self, end: usize) -> bool {
        let (before, after) = self.text.split_at(end);
        if before.ends_with('\n') {
            return true;
        }
        if !before.ends_with(may_end) {
            return false;
        }
        let quotes = self.quotes.and(before);
        let mut closed = before.trim_end_matches(|c| quotes.is_closing(c));
        if closed.len() < before.len() {
            // French has a blank there.
            closed = closed.trim_end();
        }
        let Some(last) = closed.chars().next_back() else { return false };
        let next = after.chars().next();
        if is_wide_end(last) {
            return next.is_none_or(|next| !quotes.is_closing(next) && !is_wide_end(next));
        }
        if !(may_go_on_after(last) || is_certain_end(last))
            || next.is_some_and(|next| !next.is_whitespace())
        {
            return false;
        }
        let follows = after.trim_start().chars().next();
        match follows {
            // As in `“Really?” she said`.
            Some(follows) if follows.is_lowercase() || quotes.is_closing_alone(follows) => false,
            Some(_) => last != '.' || !is_abbreviated(closed),
            None if self.is_over => true,
            // Where nothing speaks for more of the sentence, nobody waits for the next word.
            None => {
                let is_quoted = closed.len() < before.len() || quotes.are_open(closed);
                let is_sure = is_certain_end(last) || last == '.' && ends_in_long_word(closed);
                !is_quoted && is_sure
            }
        }
    }
}

/// How long a character is spoken, beside a letter: one of those without letters is a syllable or more.
fn spoken_length(character: char) -> usize {
    if u32::from(character) >= 0x2e80 { 3 } else { 1 }
}

/// The last word of a text that ends in one dot.
fn last_word(text: &str) -> &str {
    let text = text.strip_suffix('.').unwrap_or(text);
    text.rsplit(|c: char| c.is_whitespace() || is_opening(c)).next().unwrap_or(text)
}

/// Whether this text's last dot is that of an abbreviation, of a number that counts, or of an initial.
fn is_abbreviated(text: &str) -> bool {
    let word = last_word(text);
    // More dots than one: something is left out there, and a sentence may end with it.
    if word.is_empty() || word.ends_with('.') {
        return false;
    }
    // The second of "3. October" or of a list.
    let is_ordinal = word.len() <= 2 && word.chars().all(|c| c.is_ascii_digit());
    let last = word.rsplit('.').next().unwrap_or(word);
    let is_initial =
        last.chars().count() == 1 && last.chars().all(|c| c.is_alphabetic() && c != 'I');
    is_ordinal || is_initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

fn ends_in_long_word(text: &str) -> bool {
    let word = last_word(text);
    word.chars().count() >= LONG_WORD_CHARACTERS
        && word.chars().all(char::is_alphabetic)
        && !is_abbreviated(text)
}

/// Which quotation marks a text has: some open in one language and close in another.
#[derive(Clone, Copy, Default)]
struct Quotes {
    /// „…“
    is_german: bool,
    /// Whether it is »…« and not «…», once it has either.
    points_inward: Option<bool>,
}

impl Quotes {
    /// Those of a text that goes on with this.
    fn and(self, text: &str) -> Self {
        let first = || text.chars().find(|c| matches!(c, '«' | '»'));
        Self {
            is_german: self.is_german || text.contains('„'),
            points_inward: self.points_inward.or_else(|| first().map(|first| first == '»')),
        }
    }

    fn is_closing(&self, character: char) -> bool {
        match character {
            '"' | '\'' | '*' | '”' | '’' | ')' | ']' | '」' => true,
            '“' => self.is_german,
            '«' => self.points_inward == Some(true),
            '»' => self.points_inward != Some(true),
            _ => false,
        }
    }

    /// Whether this closes a quotation, and opens none in any language.
    fn is_closing_alone(&self, character: char) -> bool {
        matches!(character, '«' | '»' | '”') && self.is_closing(character)
    }

    /// Whether something is being quoted at the end of this text.
    fn are_open(&self, text: &str) -> bool {
        let count = |quote: char| text.matches(quote).count();
        let curved = if self.is_german { ('„', '“') } else { ('“', '”') };
        let angled = if self.points_inward == Some(true) { ('»', '«') } else { ('«', '»') };
        let is_open = |(open, close)| count(open) > count(close);
        is_open(curved) || is_open(angled) || count('"') % 2 == 1
    }
}

/// A piece without what belongs to the end of the one before: it was cut there before that had come.
fn without_rest_of_the_last(piece: &str) -> &str {
    let is_rest =
        |c: char| matches!(c, '.' | '!' | '?' | '…' | '*' | '”' | '’' | '»' | ')' | ']' | '」');
    let rest = piece.trim_start_matches(is_rest);
    if rest.starts_with(char::is_whitespace) { rest.trim_start() } else { piece }
}

/// Whether a sentence may end with it: most characters are told by that alone, without a look at the text.
fn may_end(character: char) -> bool {
    matches!(character, '"' | '\'' | '*' | '”' | '’' | ')' | ']' | '」' | '“' | '«' | '»')
        || is_wide_end(character)
        || is_certain_end(character)
        || may_go_on_after(character)
}

fn is_certain_end(character: char) -> bool {
    matches!(character, '!' | '?' | '؟' | '۔' | '।')
}

fn may_go_on_after(character: char) -> bool {
    matches!(character, '.' | '…')
}

/// Ends sentences without a blank after it.
fn is_wide_end(character: char) -> bool {
    matches!(character, '。' | '！' | '？')
}

fn is_opening(character: char) -> bool {
    matches!(character, '"' | '\'' | '“' | '‘' | '«' | '»' | '„' | '(' | '[' | '*')
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
        let list =
            "1. Open the valve slowly.\n2. Close the hatch behind you.\n3. Wait for me there.";
        let pieces = [
            "1. Open the valve slowly.",
            "2. Close the hatch behind you.",
            "3. Wait for me there.",
        ];
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
        let pieces =
            ["„Komm her, mein alter Freund.", "Setz dich doch zu mir.“", "Dann ging er fort."];
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
