//! Takes what a model thinks out of what it says: local models write it into their answers, between
//! tags of many kinds.
//!
//! Some begin in their thought, since it is the server that writes the first tag, into the prompt. Only
//! the tag that closes it shows that all before was thought: what was said by then is taken back. From
//! such an answer on, the text of the model's answers is held back until that tag.

mod tags;
mod unopened;

use tags::{Meaning, TAGS};
pub(super) use unopened::Unopened;

/// Where in an answer we are; no I/O.
#[derive(Debug)]
pub(super) struct ThoughtFilter {
    thinking: bool,
    /// The beginning of what may become a tag.
    held: String,
    /// What is said, or thought if a tag closes it; `None` once it is known which.
    doubtful: Option<String>,
    max_doubtful_bytes: usize,
    /// A tag has opened or closed thought.
    tagged: bool,
    /// Something was said.
    has_said: bool,
    unopened: Unopened,
}

/// What a piece of an answer comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Whether all that was said before was thought.
    pub taken_back: bool,
    pub text: String,
}

impl ThoughtFilter {
    /// For an answer of a model of which so much is known, and whose text has so many bytes at most.
    pub(super) fn new(unopened: Unopened, max_text_bytes: usize) -> Self {
        Self {
            thinking: false,
            held: String::new(),
            doubtful: unopened.is_expected().then(String::new),
            max_doubtful_bytes: max_text_bytes,
            tagged: false,
            has_said: false,
            unopened,
        }
    }

    /// The part of the next `text` that is said. What may be the beginning of a tag comes later.
    pub(super) fn said(&mut self, text: &str) -> Said {
        let mut said = Said::default();
        for character in text.chars() {
            self.held.push(character);
            // What is held begins like a tag, or is let go from its beginning until it does.
            while !self.held.is_empty() && !tags::begin_with(&self.held) {
                let first = self.held.remove(0);
                self.release(first, &mut said.text);
            }
            if let Some(tag) = TAGS.iter().find(|tag| tag.text.eq_ignore_ascii_case(&self.held)) {
                self.held.clear();
                self.turn(tag.meaning, &mut said);
            }
        }
        self.has_said |= !said.text.trim().is_empty();
        said
    }

    /// With the end of the answer: what was held back and is no thought after all. An answer that was
    /// cut off may have been all thought.
    pub(super) fn end(&mut self, is_whole: bool) -> String {
        let mut said = String::new();
        for character in std::mem::take(&mut self.held).chars() {
            self.release(character, &mut said);
        }
        if let Some(doubtful) = self.doubtful.take().filter(|_| is_whole) {
            if !doubtful.trim().is_empty() {
                self.unopened.missed();
            }
            said.insert_str(0, &doubtful);
        }
        said
    }

    /// A tag has come.
    fn turn(&mut self, meaning: Meaning, said: &mut Said) {
        let doubtful = self.doubtful.take();
        let is_first = !self.tagged;
        self.tagged |= meaning != Meaning::Nothing;
        match meaning {
            Meaning::Nothing => self.doubtful = doubtful,
            Meaning::Opens => {
                said.text.insert_str(0, &doubtful.unwrap_or_default());
                self.thinking = true;
            }
            Meaning::Closes => {
                if is_first {
                    self.close_unopened(doubtful.as_deref().unwrap_or_default(), said);
                }
                self.thinking = false;
            }
        }
    }

    /// The first tag of the answer closes what none has opened.
    fn close_unopened(&mut self, doubtful: &str, said: &mut Said) {
        let thought = [doubtful, &said.text].concat();
        if self.has_said || !thought.trim().is_empty() {
            self.unopened.seen();
        }
        said.taken_back = std::mem::take(&mut self.has_said);
        said.text.clear();
    }

    fn release(&mut self, character: char, said: &mut String) {
        match &mut self.doubtful {
            _ if self.thinking => {}
            None => said.push(character),
            Some(doubtful) if doubtful.len() < self.max_doubtful_bytes => doubtful.push(character),
            // No answer is that long, so it is thought.
            Some(_) => (self.doubtful, self.thinking) = (None, true),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
