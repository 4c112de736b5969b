//! Puts a section between its two markers in a document, and touches nothing else of it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Replaces what is between the markers of `name` in the file.
pub fn update(path: &Path, name: &str, section: &str) -> Result<()> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = replaced(&text, name, section)
        .with_context(|| format!("{} has no place for {name}", path.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn replaced(text: &str, name: &str, section: &str) -> Option<String> {
    let begin = format!("<!-- {name}: written by cargo xtask bench -->\n");
    let end = format!("<!-- end of {name} -->");
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{}\n{end}{after}", section.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Hooks\n\
        <!-- hooks: written by cargo xtask bench -->\nold\n<!-- end of hooks -->\nWhy: because.\n";

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = replaced(TEXT, "hooks", "new\n").unwrap();
        assert_eq!(text, TEXT.replace("old", "new"));
        assert_eq!(replaced(&text, "hooks", "new").unwrap(), text);
    }

    #[test]
    fn a_missing_marker_is_noticed() {
        assert_eq!(replaced(TEXT, "server", "new"), None);
        assert_eq!(replaced(&TEXT.replace("end of", "end"), "hooks", "new"), None);
    }
}
