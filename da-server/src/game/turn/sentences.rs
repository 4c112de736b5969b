//! Cuts the text of an answer into pieces to be spoken, while more of it comes.
//!
//! A piece is one sentence or more. The first is cut as soon as it can be, so that the player hears
//! something early; later ones hold all the sentences that are there when the voice is ready for them,
//! as a voice speaks a longer text better.

mod quotes;

use quotes::Quotes;

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
mod tests;
