//! The lists that go out of date: hosts of providers, and prices.

use crate::deploy::files::text;

/// What an entry says of its age.
#[derive(Debug, PartialEq)]
enum Age<'a> {
    /// On which day it was held against which source.
    Checked(&'a str, &'a str),
    /// On which day it was written; not looked at since.
    Written(&'a str),
}

/// Of a comment right above an entry.
fn age(comment: &str) -> Option<Age<'_>> {
    let day = |text: &str| {
        let parts: Vec<_> = text.split('-').collect();
        let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
        let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
        lengths == [4, 2, 2] && parts.iter().all(is_number)
    };
    if let Some(rest) = comment.strip_prefix("# checked ") {
        let (date, source) = rest.split_once(": ")?;
        return (day(date) && source.contains("https://")).then_some(Age::Checked(date, source));
    }
    let date = comment.strip_prefix("# written ")?.strip_suffix(", not checked since")?;
    day(date).then_some(Age::Written(date))
}

/// The entries `[[NAME]]` of a file whose line above does not tell their age, and how many were checked.
fn without_age(file: &str, name: &str) -> (Vec<String>, usize) {
    let text = text(file);
    let lines: Vec<_> = text.lines().collect();
    let heads = (0..lines.len()).filter(|&at| lines[at] == format!("[[{name}]]"));
    let (mut without, mut checked) = (Vec::new(), 0);
    for at in heads {
        match at.checked_sub(1).and_then(|above| age(lines[above])) {
            Some(Age::Checked(..)) => checked += 1,
            Some(Age::Written(_)) => {}
            None => without.push(format!("{file}:{}", at + 1)),
        }
    }
    (without, checked)
}

#[test]
fn every_price_says_when_and_where_it_was_checked() {
    let (without, checked) = without_age("da-server/prices.toml", "price");
    assert!(without.is_empty(), "{without:?}");
    let all = text("da-server/prices.toml").matches("\n[[price]]\n").count();
    assert_eq!(checked, all, "a price that was never checked is none");
    assert!(all > 30, "{all} prices");
}

#[test]
fn every_built_in_endpoint_says_when_it_was_checked_or_written() {
    let (without, checked) = without_age("da-server/endpoints.toml", "endpoint");
    assert!(without.is_empty(), "{without:?}");
    assert!(checked > 10, "{checked} were checked");
}

#[test]
fn an_age_is_a_day_and_a_source() {
    let source = "https://a.example/b";
    assert_eq!(
        age("# checked 2026-11-29: https://a.example/b"),
        Some(Age::Checked("2026-11-29", source))
    );
    assert_eq!(age("# written 2026-11-22, not checked since"), Some(Age::Written("2026-11-22")));
    for none in [
        "",
        "# checked 2026-11-29",
        "# checked lately: https://a.example/b",
        "# checked 2026-11-29: somewhere",
        "# written long ago, not checked since",
    ] {
        assert_eq!(age(none), None, "{none}");
    }
}
