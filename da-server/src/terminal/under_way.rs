//! Requests that have not ended, one line each.

use std::io::{self, Write};

use super::CallsArgs;
use super::line::{duration, shown};
use crate::kernel::{Snapshot, UnderWay};

/// Prints those that `args` asks for, the oldest first.
///
/// # Errors
/// `out` takes nothing.
pub(super) fn print(out: &mut impl Write, snapshot: &Snapshot, args: &CallsArgs) -> io::Result<()> {
    let is_wanted = |request: &&UnderWay| {
        args.kind.is_none_or(|kind| request.kind == kind)
            && args.provider.as_ref().is_none_or(|provider| request.provider == *provider)
            && args.process.as_ref().is_none_or(|process| request.process == *process)
            && args.min_ms.is_none_or(|ms| request.age_ns / 1_000_000 >= ms)
    };
    let wanted = snapshot.requests.iter().filter(is_wanted);
    for request in wanted.take(args.limit.into()) {
        writeln!(out, "{}", line(request))?;
    }
    let left_out = snapshot.total.saturating_sub(snapshot.requests.len());
    if left_out > 0 {
        writeln!(out, "and {left_out} younger ones")?;
    }
    Ok(())
}

fn line(request: &UnderWay) -> String {
    let UnderWay { kind, provider, process, pid, remote, state, .. } = request;
    let mut line = format!(
        "{:>8} {} for {}: {} {} to {remote}, {} bytes sent, {} received",
        duration(request.age_ns),
        state.as_str(),
        duration(request.in_state_ns),
        kind.as_str(),
        shown(&format!("{provider} {process} {pid}")),
        request.request_bytes,
        request.response_bytes,
    );
    if request.unread_bytes > 0 {
        line.push_str(&format!(", {} unread", request.unread_bytes));
    }
    if request.window_closed_ns > 0 {
        line.push_str(&format!(", window closed for {}", duration(request.window_closed_ns)));
    }
    line
}
