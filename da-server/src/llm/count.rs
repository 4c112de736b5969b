//! Token counts as servers write them.

use serde_json::Value;

/// No answer takes more. A larger figure is a mistake, and would spoil a counter for good.
const MAX_TOKENS: u64 = 10_000_000;

/// A count of tokens, if it is one: some servers tell null, fractions or negative figures.
pub(super) fn tokens(value: &Value) -> Option<u64> {
    let whole = |number: &f64| number.fract() == 0.0 && (0.0..=MAX_TOKENS as f64).contains(number);
    let count = value.as_u64().or_else(|| value.as_f64().filter(whole).map(|number| number as u64));
    count.filter(|count| *count <= MAX_TOKENS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_no_answer_can_have_taken_is_not_told() {
        for (value, count) in [
            (json!(0), Some(0)),
            (json!(12), Some(12)),
            (json!(12.0), Some(12)),
            (json!(10_000_000), Some(10_000_000)),
            (json!(10_000_001), None),
            (json!(u64::MAX), None),
            (json!(1e19), None),
            (json!(-35), None),
            (json!(1.5), None),
            (json!("12"), None),
            (json!(null), None),
        ] {
            assert_eq!(tokens(&value), count, "{value}");
        }
    }
}
