//! What a player may say.

/// Why a line is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineError {
    /// There is nothing in it.
    Empty,
    /// It has more characters than this.
    TooLong(usize),
    /// It has characters that are no text.
    ControlCharacters,
}

/// The line without the space around it.
///
/// # Errors
/// Why it is not accepted.
pub(super) fn checked(text: &str, max_characters: usize) -> Result<&str, LineError> {
    let line = text.trim();
    if line.is_empty() {
        Err(LineError::Empty)
    } else if line.chars().count() > max_characters {
        Err(LineError::TooLong(max_characters))
    } else if line.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        Err(LineError::ControlCharacters)
    } else {
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_text_of_bounded_length() {
        assert_eq!(checked("  hi\nthere ", 20), Ok("hi\nthere"));
        assert_eq!(checked("{} {oxygen} %s", 20), Ok("{} {oxygen} %s"));
        assert_eq!(checked("äöü", 3), Ok("äöü"), "characters count, not bytes");
        assert_eq!(checked("äöüß", 3), Err(LineError::TooLong(3)));
        assert_eq!(checked(" \n ", 3), Err(LineError::Empty));
        for text in ["a\0b", "a\x1b[31m", "a\u{9b}"] {
            assert_eq!(checked(text, 9), Err(LineError::ControlCharacters), "{text:?}");
        }
    }
}
