//! What a test program said of its tests.

use std::time::Duration;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It held.
    Passed,
    /// It did not.
    Failed,
    /// It is one that only runs when asked for, for instance inside an emulated machine.
    Ignored,
}

/// A test that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Its path within the program.
    pub name: String,
    /// How it ended.
    pub end: End,
    /// How long it took.
    pub took: Duration,
    /// What it printed.
    pub said: String,
}

impl Test {
    /// Why it did not run, or not all of it, if it says so.
    pub fn skipped(&self) -> Option<&str> {
        if self.end != End::Passed {
            return None;
        }
        self.said.lines().find_map(|line| line.trim().strip_prefix("SKIPPED: "))
    }
}

/// Reads the output of libtest with `--show-output` and `--report-time`: how each test ended, then what
/// each of them printed.
pub fn read(output: &str) -> Vec<Test> {
    let ends = output.lines().take_while(|line| !is_heading(line));
    let mut tests: Vec<Test> = ends.filter_map(ended).collect();
    for (name, said) in blocks(output) {
        if let Some(test) = tests.iter_mut().find(|test| test.name == name) {
            test.said = said;
        }
    }
    tests
}

/// `test NAME ... ok <1.234s>`.
fn ended(line: &str) -> Option<Test> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let (end, rest) = [("ok", End::Passed), ("FAILED", End::Failed), ("ignored", End::Ignored)]
        .into_iter()
        .find_map(|(word, end)| Some((end, rest.strip_prefix(word)?)))?;
    let seconds = rest.trim().strip_prefix('<').and_then(|rest| rest.strip_suffix("s>"));
    let seconds = seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(0.0);
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Some(Test { name: name.to_owned(), end, took, said: String::new() })
}

/// What each test printed: `---- NAME stdout ----` and all up to the next such line or heading.
fn blocks(output: &str) -> Vec<(&str, String)> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut is_inside = false;
    for line in output.lines() {
        if let Some(name) =
            line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"))
        {
            blocks.push((name, String::new()));
            is_inside = true;
        } else if is_heading(line) {
            is_inside = false;
        } else if let (true, Some((_, said))) = (is_inside, blocks.last_mut()) {
            said.push_str(line);
            said.push('\n');
        }
    }
    blocks
}

/// The lines of libtest's own between and after the blocks.
fn is_heading(line: &str) -> bool {
    matches!(line, "successes:" | "failures:") || line.starts_with("test result: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 4 tests
test a::holds ... ok <0.012s>
test a::panics - should panic ... ok <0.001s>
test b::breaks ... FAILED <1.500s>
test c::elsewhere ... ignored, runs in a machine

successes:

---- a::holds stdout ----
SKIPPED: no nginx on this machine
test of::another ... ok <0.5s>
it goes on


successes:
    a::holds

failures:

---- b::breaks stdout ----

thread 'b::breaks' panicked at b.rs:1:1:
boom


failures:
    b::breaks

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.51s
";

    #[test]
    fn every_test_is_read_with_its_time_and_its_words() {
        let tests = read(OUTPUT);
        let ends: Vec<_> = tests.iter().map(|test| (test.name.as_str(), test.end)).collect();
        assert_eq!(
            ends,
            [
                ("a::holds", End::Passed),
                ("a::panics", End::Passed),
                ("b::breaks", End::Failed),
                ("c::elsewhere", End::Ignored),
            ]
        );
        assert_eq!(tests[2].took, Duration::from_millis(1_500));
        assert!(tests[2].said.contains("boom"), "{:?}", tests[2]);
        assert!(tests[0].said.contains("it goes on"));
        assert!(!tests[0].said.contains("a::holds"), "{:?}", tests[0]);
    }

    #[test]
    fn a_test_that_passed_by_not_running_says_why() {
        let tests = read(OUTPUT);
        assert_eq!(tests[0].skipped(), Some("no nginx on this machine"));
        assert_eq!(tests[1].skipped(), None);
    }
}
