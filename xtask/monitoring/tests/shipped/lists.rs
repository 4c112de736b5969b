//! The lists that go out of date: hosts of providers, and prices.

use crate::files::text;

/// On which day an entry was held against which source, by a comment right above it.
fn age(comment: &str) -> Option<(&str, &str)> {
    let day = |text: &str| {
        let parts: Vec<_> = text.split('-').collect();
        let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
        let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
        lengths == [4, 2, 2] && parts.iter().all(is_number)
    };
    let (date, source) = comment.strip_prefix("# checked ")?.split_once(": ")?;
    (day(date) && source.contains("https://")).then_some((date, source))
}

/// The entries `[[NAME]]` of a file whose line above does not say when they were checked, and how many there
/// are in all.
fn without_age(file: &str, name: &str) -> (Vec<String>, usize) {
    let text = text(file);
    let lines: Vec<_> = text.lines().collect();
    let heads: Vec<_> = (0..lines.len()).filter(|&at| lines[at] == format!("[[{name}]]")).collect();
    let has_age = |at: usize| at.checked_sub(1).is_some_and(|above| age(lines[above]).is_some());
    let without = heads.iter().filter(|&&at| !has_age(at)).map(|at| format!("{file}:{}", at + 1));
    (without.collect(), heads.len())
}

#[test]
fn every_price_and_every_built_in_endpoint_says_when_and_where_it_was_checked() {
    for (file, name) in
        [("da-server/prices.toml", "price"), ("da-server/endpoints.toml", "endpoint")]
    {
        let (without, all) = without_age(file, name);
        assert!(without.is_empty(), "never checked: {without:?}");
        assert!(all > 30, "{all} in {file}");
    }
}

#[test]
fn an_age_is_a_day_and_a_source() {
    let source = "https://a.example/b";
    assert_eq!(age("# checked 2026-11-29: https://a.example/b"), Some(("2026-11-29", source)));
    for none in [
        "",
        "# checked 2026-11-29",
        "# checked lately: https://a.example/b",
        "# checked 2026-11-29: somewhere",
        "# written 2026-11-29: https://a.example/b",
    ] {
        assert_eq!(age(none), None, "{none}");
    }
}
