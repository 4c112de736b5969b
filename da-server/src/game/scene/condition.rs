//! Conditions over variables: `oxygen <= 0`, `trust >= 60 and depth < 100`.

use std::fmt;

/// Comparisons that must all hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(Vec<Comparison>);

#[derive(Debug, Clone, PartialEq)]
struct Comparison {
    variable: String,
    operator: Operator,
    value: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// Why a text is not a valid condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a valid condition: write \"variable <= number\", joined by \"and\"; < <= > >= compare"
)]
pub struct ConditionError(String);

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// The text is not a valid condition.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let comparisons = words.split(|word| *word == "and").map(Comparison::parse);
        let comparisons: Option<Vec<_>> = comparisons.collect();
        comparisons.map(Self).ok_or_else(|| ConditionError(text.to_owned()))
    }

    /// Whether it holds, given each variable's value. A variable without a value makes it false;
    /// checked scenes have none.
    pub fn holds(&self, value_of: impl Fn(&str) -> Option<f64>) -> bool {
        self.0.iter().all(|c| value_of(&c.variable).is_some_and(|value| c.holds(value)))
    }

    /// The variables it names.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|comparison| comparison.variable.as_str())
    }
}

impl Comparison {
    fn parse(words: &[&str]) -> Option<Self> {
        let [variable, operator, value] = words else { return None };
        let operator = match *operator {
            "<" => Operator::Less,
            "<=" => Operator::AtMost,
            ">" => Operator::More,
            ">=" => Operator::AtLeast,
            _ => return None,
        };
        let value = value.parse().ok().filter(|value: &f64| value.is_finite())?;
        Some(Self { variable: (*variable).to_owned(), operator, value })
    }

    fn holds(&self, value: f64) -> bool {
        match self.operator {
            Operator::Less => value < self.value,
            Operator::AtMost => value <= self.value,
            Operator::More => value > self.value,
            Operator::AtLeast => value >= self.value,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Comparison { variable, operator, value }) in self.0.iter().enumerate() {
            let operator = match operator {
                Operator::Less => "<",
                Operator::AtMost => "<=",
                Operator::More => ">",
                Operator::AtLeast => ">=",
            };
            let and = if index == 0 { "" } else { " and " };
            write!(f, "{and}{variable} {operator} {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, oxygen: f64, trust: f64) -> bool {
        Condition::parse(text).expect(text).holds(|name| match name {
            "oxygen" => Some(oxygen),
            "trust" => Some(trust),
            _ => None,
        })
    }

    #[test]
    fn compares_as_written() {
        assert!(holds("oxygen <= 0", 0.0, 0.0) && !holds("oxygen < 0", 0.0, 0.0));
        assert!(holds("oxygen >= -1.5", -1.5, 0.0) && !holds("oxygen > -1.5", -1.5, 0.0));
    }

    #[test]
    fn every_part_must_hold() {
        let both = "oxygen > 10 and trust >= 50";
        assert!(holds(both, 11.0, 50.0));
        assert!(!holds(both, 10.0, 50.0) && !holds(both, 11.0, 49.0));
    }

    #[test]
    fn an_unknown_variable_never_holds() {
        assert!(!holds("fuel >= 0", 1.0, 1.0));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "oxygen",
            "oxygen = 1",
            "oxygen<=1",
            "oxygen <= x",
            "oxygen <= NaN",
            "a < 1 and",
            "a < 1 or b < 1",
        ] {
            assert!(Condition::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn is_written_as_it_is_read() {
        let text = "oxygen > 10 and trust >= 50.5";
        assert_eq!(Condition::parse(text).expect(text).to_string(), text);
    }
}
