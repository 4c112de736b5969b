//! Puts the text in that a query's `@NAME` stands for.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// `text` with every `@NAME` replaced by what `shorthand` has for it, line breaks by spaces.
///
/// # Errors
/// If there is nothing for a name.
pub fn expand(text: &str, shorthand: &BTreeMap<String, String>) -> Result<String> {
    let mut parts = text.split('@');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = part.split_at(end.unwrap_or(part.len()));
        let meant = shorthand.get(name).with_context(|| format!("nothing is meant by @{name}"))?;
        expanded.push_str(meant);
        expanded.push_str(rest);
    }
    Ok(expanded.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What `@quantile` and `@p` mean for `quantile`.
pub fn quantile(quantile: f64) -> [(String, String); 2] {
    // 0.99 × 100 is not quite 99.
    let percent = (quantile * 1000.0).round() / 10.0;
    [("quantile".to_owned(), quantile.to_string()), ("p".to_owned(), format!("p{percent}"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_unknown_ones_refused() {
        let meanings = [("here", "job=\"$job\""), ("here_too", "x")];
        let shorthand = meanings.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let expanded = expand("up{@here,\n  a=\"b\"} + @here_too", &shorthand).unwrap();
        assert_eq!(expanded, "up{job=\"$job\", a=\"b\"} + x");
        let error = expand("up{@there}", &shorthand).unwrap_err().to_string();
        assert!(error.contains("@there"), "{error}");
    }

    #[test]
    fn quantiles_are_named_as_people_say_them() {
        let named = |value| quantile(value).map(|(_, text)| text);
        assert_eq!(named(0.99), ["0.99", "p99"]);
        assert_eq!(named(0.999), ["0.999", "p99.9"]);
    }
}
