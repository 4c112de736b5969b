//! Calls that a server has kept in a file.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::path::Path;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::value::{Error as ValueError, StringDeserializer};

use super::CallsArgs;
use crate::calls::{Call, CallQuery, Ending, Whose, number_anew, read_calls};

/// So many of a file the page is given at most, the latest: each takes some KB of memory.
const MAX_ON_PAGE: usize = 100_000;

/// The calls for the page. No two have the same number.
///
/// # Errors
/// The file can't be read, or has something in it and no call.
pub(super) fn for_page(args: &CallsArgs, file: &Path) -> anyhow::Result<Vec<Call>> {
    let (mut calls, mut left_out) = (VecDeque::new(), 0_u64);
    each(args, file, |call| {
        calls.push_back(call);
        if calls.len() > MAX_ON_PAGE {
            calls.pop_front();
            left_out += 1;
        }
    })?;
    if left_out > 0 {
        eprintln!(
            "da-server: the page has the latest {MAX_ON_PAGE}, without {left_out} earlier ones"
        );
    }
    let mut calls = Vec::from(calls);
    number_anew(&mut calls);
    Ok(calls)
}

/// The calls for the terminal, in the order in which they are printed.
///
/// # Errors
/// The file can't be read, or has something in it and no call; or no call ends as is asked for.
pub(super) fn for_terminal(args: &CallsArgs, file: &Path) -> anyhow::Result<Vec<Call>> {
    let (query, limit) = (query(args)?, args.limit as usize);
    let mut calls = VecDeque::new();
    each(args, file, |call| {
        if !query.admits(&call) {
            return;
        }
        calls.push_back(call);
        if args.slowest && calls.len() > 2 * limit {
            keep_slowest(&mut calls, limit);
        } else if !args.slowest && calls.len() > limit {
            calls.pop_front();
        }
    })?;
    if args.slowest {
        keep_slowest(&mut calls, limit);
    }
    Ok(calls.into())
}

fn keep_slowest(calls: &mut VecDeque<Call>, limit: usize) {
    calls.make_contiguous().sort_by_key(|call| Reverse(call.duration_ns));
    calls.truncate(limit);
}

/// Reads the calls of the time that is asked for; says on standard error what in the file is no call.
fn each(args: &CallsArgs, file: &Path, mut each: impl FnMut(Call)) -> anyhow::Result<()> {
    let wanted = args.since_unix_ms.unwrap_or(0)..=args.until_unix_ms.unwrap_or(u64::MAX);
    let mut calls = 0_u64;
    let unreadable = read_calls(file, |call| {
        calls += 1;
        if wanted.contains(&call.began_unix_ms) {
            each(call);
        }
    })?;
    let name = file.display();
    ensure!(
        calls > 0 || unreadable == 0,
        "{name} is no file of calls, or one of another version of da-server"
    );
    if unreadable > 0 {
        let lines =
            if unreadable == 1 { "1 line".to_owned() } else { format!("{unreadable} lines") };
        eprintln!("da-server: {lines} of {name} and what came before it: no call, or cut off");
    }
    Ok(())
}

/// Which of them are wanted.
fn query(args: &CallsArgs) -> anyhow::Result<CallQuery> {
    let ending = |label: &String| {
        Ending::deserialize(StringDeserializer::<ValueError>::new(label.clone()))
            .with_context(|| format!("no call has the outcome {label:?}"))
    };
    Ok(CallQuery {
        kind: args.kind,
        provider: args.provider.clone(),
        of: args.own.then_some(Whose::Own),
        process: args.process.clone(),
        workload: args.workload.clone(),
        outcome: args.outcome.as_ref().map(ending).transpose()?,
        min_ms: args.min_ms,
        order: None,
        limit: None,
    })
}

/// A time with its zone, as milliseconds of the Unix epoch.
pub(super) fn unix_ms(text: &str) -> Result<u64, String> {
    let time: Timestamp =
        text.parse().map_err(|_| "use a time with its zone, as 2026-11-30T14:05:00Z".to_owned())?;
    time.as_millisecond().try_into().map_err(|_| "that was before 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_a_zone() {
        assert_eq!(unix_ms("1970-01-01T00:00:01.5Z"), Ok(1_500));
        assert_eq!(unix_ms("1970-01-01T01:00:01+01:00"), Ok(1_000));
        assert!(unix_ms("14:05").is_err_and(|why| why.contains("Z")));
        assert!(unix_ms("1969-01-01T00:00:00Z").is_err_and(|why| why.contains("1970")));
    }
}
