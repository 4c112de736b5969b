//! `cargo xtask test --hostile`: every case of the hostile suite, and a table of what came of each.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use super::outcome::{End, Test};
use super::plan::{self, HOSTILE};
use super::run::{self, Report};
use super::{Privilege, programs, setting, summary};
use crate::command::step;
use crate::packages;
use crate::setup::TestNeeds;
use crate::workspace::Workspace;

/// Where the table is, among what tests leave to look at.
const TABLE: &str = "hostile.md";

/// Runs all of it, prints the table, and fails if a case did.
pub fn test(workspace: &Workspace) -> Result<()> {
    let mut missing = packages::missing(packages::TESTS);
    missing.retain(|package| package.name.starts_with("postgresql"));
    let unavailable = packages::install_what_can_be_had(&missing);
    let needs = TestNeeds { emulator: None, guest_kernel: None, unavailable };
    let setting = setting(workspace, &needs, Privilege::of_this_process())?;
    step("build the hostile suite");
    let programs = programs::build(&["-p", "da-server", "--test", "hostile"])?;
    let program = programs.into_iter().find(|program| program.name == HOSTILE);
    let program = program.context("cargo built no hostile suite")?;
    step("run the hostile suite");
    let reports = run::all(vec![plan::whole_hostile_suite(&program)], 1, &setting);
    let table = table(&reports);
    let file = workspace.test_output().join(TABLE);
    fs::write(&file, &table).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{table}{}", summary::text(&reports, &needs.unavailable));
    eprintln!("The table is in {}", file.display());
    if !reports.iter().all(Report::is_green) {
        bail!("not all cases held: see above");
    }
    Ok(())
}

/// A case as its test tells of it.
struct Row<'a> {
    group: &'a str,
    case: &'a str,
    done: &'a str,
    expected: &'a str,
    came: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Held,
    Fell,
    Skipped,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Fell => "FELL",
            Self::Skipped => "skipped",
        }
    }
}

impl<'a> Row<'a> {
    fn of(test: &'a Test) -> Self {
        let (group, case) = test.name.split_once("::").unwrap_or(("", &test.name));
        let said = |what: &str| test.said.lines().find_map(|line| line.strip_prefix(what));
        let verdict = match (test.end, test.skipped()) {
            (End::Failed, _) => Verdict::Fell,
            (_, Some(_)) | (End::Ignored, None) => Verdict::Skipped,
            (End::Passed, None) => Verdict::Held,
        };
        let came = match verdict {
            Verdict::Skipped => test.skipped().unwrap_or_default().to_owned(),
            Verdict::Held => said("CAME: ").unwrap_or_default().to_owned(),
            // What was expected may have come, and the game not have gone on.
            Verdict::Fell => panic_message(&test.said).unwrap_or("it broke off").to_owned(),
        };
        let (done, expected) = (said("DONE: ").unwrap_or("-"), said("EXPECTED: ").unwrap_or("-"));
        Self { group, case, done, expected, came, verdict }
    }
}

/// The first line of why a test panicked: libtest writes it below where it did.
fn panic_message(said: &str) -> Option<&str> {
    let mut lines = said.lines();
    lines.find(|line| line.contains("panicked at"))?;
    lines.next()
}

/// All cases by their groups, and how many of each group held.
fn table(reports: &[Report]) -> String {
    let mut tests: Vec<&Test> = reports.iter().flat_map(|report| &report.tests).collect();
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    let rows: Vec<Row> = tests.into_iter().map(Row::of).collect();
    let mut text = "| group | case | what was done | what was expected | what came | verdict |\n\
                    |---|---|---|---|---|---|\n"
        .to_owned();
    for Row { group, case, done, expected, came, verdict } in &rows {
        let cells = [group, case, done, expected, came.as_str(), verdict.as_str()];
        // A bar would be the end of a cell.
        let cells = cells.map(|cell| cell.replace('|', " or "));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text += "\n| group | cases | held | fell | skipped |\n|---|---|---|---|---|\n";
    let mut groups: Vec<_> = rows.iter().map(|row| row.group).collect();
    groups.dedup();
    for group in groups.into_iter().map(Some).chain([None]) {
        let of_it: Vec<_> =
            rows.iter().filter(|row| group.is_none_or(|group| row.group == group)).collect();
        let [held, fell, skipped] = [Verdict::Held, Verdict::Fell, Verdict::Skipped]
            .map(|verdict| of_it.iter().filter(|row| row.verdict == verdict).count());
        let (name, cases) = (group.unwrap_or("all"), of_it.len());
        let _ = writeln!(text, "| {name} | {cases} | {held} | {fell} | {skipped} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test::outcome;

    #[test]
    fn a_row_tells_of_a_case_and_groups_are_counted() {
        let output = "test http::dots ... ok <0.1s>\ntest models::heads::silent ... FAILED <1.5s>\n\
                      test stores::full::full ... ok <0.1s>\n\
                      successes:\n---- http::dots stdout ----\nDONE: a path that climbs\n\
                      EXPECTED: 404|400, and the game goes on\nCAME: 404\n\
                      ---- stores::full::full stdout ----\nSKIPPED: only root may\n\
                      failures:\n---- models::heads::silent stdout ----\nDONE: is silent\n\
                      EXPECTED: error, and the game goes on\nCAME: success\n\n\
                      thread 'x' panicked at a.rs:1:1:\ncame: success\nfailures:\n";
        let report = Report {
            name: HOSTILE.to_owned(),
            tests: outcome::read(output),
            took: Duration::ZERO,
            log: "/log".into(),
            fault: None,
        };
        let table = table(&[report]);
        for line in [
            "| http | dots | a path that climbs | 404 or 400, and the game goes on | 404 | held |",
            "| models | heads::silent | is silent | error, and the game goes on | came: success | \
             FELL |",
            "| stores | full::full | - | - | only root may | skipped |",
            "| http | 1 | 1 | 0 | 0 |",
            "| models | 1 | 0 | 1 | 0 |",
            "| all | 3 | 1 | 1 | 1 |",
        ] {
            assert!(table.lines().any(|one| one == line), "{line}\nis not in\n{table}");
        }
    }
}
