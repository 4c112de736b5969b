//! What is printed at the end: what failed and why, what was skipped and why, and where the time went.

use std::time::Duration;

use super::outcome::{End, Test};
use super::run::Report;
use crate::packages::Unavailable;

/// How many of the slowest tests are named.
const SLOWEST: usize = 10;

/// The whole text; the last line of it is the one that counts.
pub fn text(reports: &[Report], unavailable: &[Unavailable]) -> String {
    let mut text = failures(reports);
    text += &times(reports);
    text += &slowest(reports);
    text += &skipped(reports, unavailable);
    let count = |end| reports.iter().map(|report| report.count(end)).sum::<usize>();
    let skipped = each(reports).filter(|(_, test)| test.skipped().is_some()).count();
    // A program that broke off counts as one that failed.
    let faults = reports.iter().filter(|report| report.fault.is_some()).count();
    text += &format!(
        "\n{} passed, {} failed, {skipped} skipped\n",
        count(End::Passed) - skipped,
        count(End::Failed) + faults
    );
    text
}

fn each(reports: &[Report]) -> impl Iterator<Item = (&str, &Test)> {
    reports.iter().flat_map(|report| report.tests.iter().map(|test| (report.name.as_str(), test)))
}

fn failures(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports.iter().filter(|report| !report.is_green()) {
        for test in report.tests.iter().filter(|test| test.end == End::Failed) {
            text += &format!("\nFAILED: {}, {}\n{}\n", report.name, test.name, test.said.trim());
        }
        if let Some(fault) = &report.fault {
            text += &format!("\nFAILED: {}: {fault}\n", report.name);
        }
        text += &format!("All that it said is in {}\n", report.log.display());
    }
    text
}

fn times(reports: &[Report]) -> String {
    let mut text = "\nTime of each program, in the order of their ends:\n".to_owned();
    for Report { name, took, tests, .. } in reports {
        let tests_took: Duration = tests.iter().map(|test| test.took).sum();
        text += &format!(
            "{:>8.1} s  {name}: {} tests, {:.1} s one after the other\n",
            took.as_secs_f64(),
            tests.len(),
            tests_took.as_secs_f64()
        );
    }
    text
}

fn slowest(reports: &[Report]) -> String {
    let mut tests: Vec<_> = each(reports).collect();
    tests.sort_by_key(|(_, test)| std::cmp::Reverse(test.took));
    let mut text = "\nThe slowest tests:\n".to_owned();
    for (program, test) in tests.into_iter().take(SLOWEST) {
        text += &format!("{:>8.1} s  {program}, {}\n", test.took.as_secs_f64(), test.name);
    }
    text
}

/// What could not be installed, and why.
pub fn not_installed(unavailable: &[Unavailable]) -> String {
    let line = |one: &Unavailable| format!("\nNOT INSTALLED: {}: {}\n", one.what, one.why);
    unavailable.iter().map(line).collect()
}

fn skipped(reports: &[Report], unavailable: &[Unavailable]) -> String {
    let mut text = not_installed(unavailable);
    for (program, test) in each(reports) {
        if let Some(why) = test.skipped() {
            text += &format!("\nSKIPPED: {program}, {}: {why}\n", test.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::outcome::read;

    fn report(name: &str, output: &str, fault: Option<&str>) -> Report {
        Report {
            name: name.to_owned(),
            tests: read(output),
            took: Duration::from_secs(2),
            log: "/logs/one.log".into(),
            fault: fault.map(str::to_owned),
        }
    }

    #[test]
    fn all_is_told_and_the_last_line_counts() {
        let output = "test a ... ok <0.5s>\ntest b ... FAILED <1.5s>\ntest c ... ok <0.1s>\n\
                      ---- c stdout ----\nSKIPPED: no nginx\n---- b stdout ----\nboom\nfailures:\n";
        let reports = [report("one", output, None), report("two", "", Some("it was ended"))];
        let unavailable = Unavailable { what: "nginx-light".to_owned(), why: "gone".to_owned() };
        let text = text(&reports, &[unavailable]);
        assert_eq!(text.lines().last(), Some("1 passed, 2 failed, 1 skipped"));
        for said in [
            "FAILED: one, b\nboom\n",
            "FAILED: two: it was ended\n",
            "NOT INSTALLED: nginx-light: gone\n",
            "SKIPPED: one, c: no nginx\n",
            "     1.5 s  one, b\n     0.5 s  one, a\n",
            "     2.0 s  one: 3 tests, 2.1 s one after the other\n",
        ] {
            assert!(text.contains(said), "{said}\nis not in\n{text}");
        }
    }
}
