//! Calls that a server has kept in a file.

use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::value::StringDeserializer;

use super::CallsArgs;
use crate::calls::{CallHistory, CallQuery, Ending, Kept, Order, Whose};

/// All of a file; says on standard error what in it is no call.
///
/// # Errors
/// It can't be read, or has something in it and no call.
pub(super) fn history(file: &Path) -> anyhow::Result<CallHistory> {
    let kept = Kept::read(file).with_context(|| format!("can't read {}", file.display()))?;
    if kept.unreadable > 0 {
        let (lines, name) = (kept.unreadable, file.display());
        if kept.calls.is_empty() {
            bail!("{name} is no file of calls, or one of another version of da-server");
        }
        eprintln!(
            "da-server: {lines} lines of {name} are no calls: cut off, or of another version"
        );
    }
    Ok(CallHistory::of(kept.calls))
}

/// Which of them are wanted.
///
/// # Errors
/// No call ends so.
pub(super) fn query(args: &CallsArgs) -> anyhow::Result<CallQuery> {
    let ending = |label: &String| {
        Ending::deserialize(StringDeserializer::<serde::de::value::Error>::new(label.clone()))
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
        order: args.slowest.then_some(Order::Slowest),
        limit: None,
    })
}
