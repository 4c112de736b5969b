//! Quotation marks, which tell whether a sentence is over.

/// Which quotation marks a text has: some open in one language and close in another.
#[derive(Clone, Copy, Default)]
pub(super) struct Quotes {
    /// „…“
    is_german: bool,
    /// Whether it is »…« and not «…», once it has either.
    points_inward: Option<bool>,
}

impl Quotes {
    /// Those of a text that goes on with this.
    pub(super) fn and(self, text: &str) -> Self {
        let first = || text.chars().find(|c| matches!(c, '«' | '»'));
        Self {
            is_german: self.is_german || text.contains('„'),
            points_inward: self.points_inward.or_else(|| first().map(|first| first == '»')),
        }
    }

    pub(super) fn is_closing(&self, character: char) -> bool {
        match character {
            '"' | '\'' | '*' | '”' | '’' | ')' | ']' | '」' => true,
            '“' => self.is_german,
            '«' => self.points_inward == Some(true),
            '»' => self.points_inward != Some(true),
            _ => false,
        }
    }

    /// Whether this closes a quotation, and opens none in any language.
    pub(super) fn is_closing_alone(&self, character: char) -> bool {
        matches!(character, '«' | '»' | '”') && self.is_closing(character)
    }

    /// Whether something is being quoted at the end of this text.
    pub(super) fn are_open(&self, text: &str) -> bool {
        let count = |quote: char| text.matches(quote).count();
        let curved = if self.is_german { ('„', '“') } else { ('“', '”') };
        let angled = if self.points_inward == Some(true) { ('»', '«') } else { ('«', '»') };
        let is_open = |(open, close)| count(open) > count(close);
        is_open(curved) || is_open(angled) || count('"') % 2 == 1
    }
}
