//! Requests that have not ended, one line each.

use std::io::{self, Write};

use serde::Deserialize;

use super::line::{duration, shown};
use crate::kernel::UnderWay;

/// A look that is older says nothing of now.
const STALE_NS: u64 = 10_000_000_000;

/// What a server answers.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    requests: Vec<UnderWay>,
    matched: usize,
    total: usize,
    looked_ns_ago: Option<u64>,
}

/// Prints them, the oldest first.
///
/// # Errors
/// `out` takes nothing.
pub(super) fn print(out: &mut impl Write, listed: &Listed) -> io::Result<()> {
    match listed.looked_ns_ago {
        None => {
            return writeln!(out, "nobody looks: there is no kernel view, or it has just begun");
        }
        Some(ago_ns) if ago_ns > STALE_NS => writeln!(out, "as of {} ago:", duration(ago_ns))?,
        Some(_) => {}
    }
    for request in &listed.requests {
        writeln!(out, "{}", line(request))?;
    }
    match listed.matched.saturating_sub(listed.requests.len()) {
        0 if listed.total > 0 && listed.matched == 0 => {
            writeln!(out, "none of {} under way is like that", listed.total)
        }
        0 if listed.requests.is_empty() => writeln!(out, "nothing is under way"),
        0 => Ok(()),
        more => writeln!(out, "and {more} more"),
    }
}

fn line(request: &UnderWay) -> String {
    let UnderWay { kind, provider, process, pid, workload, local, remote, state, .. } = request;
    // Whole, so that it can be asked for; the server has made it harmless.
    let workload = workload.as_ref().map_or_else(String::new, |name| format!(" of {name:?}"));
    let mut line = format!(
        "{:>8} {} for {}: {} {} {} {pid}{workload} from {local} to {remote}, {} bytes sent, {} received",
        duration(request.age_ns),
        state.as_str(),
        duration(request.in_state_ns),
        kind.as_str(),
        shown(provider),
        shown(process),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(json: serde_json::Value) -> String {
        let listed: Listed = serde_json::from_value(json).expect("an answer");
        let mut out = Vec::new();
        print(&mut out, &listed).expect("printed");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn each_has_a_line_and_what_is_left_out_is_said() {
        let request = serde_json::json!({
            "id": 1, "kind": "llm", "provider": "anthropic", "process": "python3", "pid": 4711,
            "workload": "bot.service", "local": "127.0.0.1:1", "remote": "127.0.0.1:443",
            "state": "waiting", "age_ns": 3_000_000_000_u64, "in_state_ns": 2_000_000_000,
            "exchange": 1, "request_bytes": 300, "response_bytes": 0, "silent_ns": null,
            "unread_bytes": 5, "window_closed_ns": 0
        });
        let of = |requests, matched, ago_ns: Option<u64>| {
            let total = if matched == 0 { 0 } else { 9 };
            printed(serde_json::json!({
                "requests": requests, "matched": matched, "total": total, "looked_ns_ago": ago_ns
            }))
        };
        let line = "  3.00 s waiting for 2.00 s: llm anthropic python3 4711 of \"bot.service\" from \
                    127.0.0.1:1 to 127.0.0.1:443, 300 bytes sent, 0 received, 5 unread\n";
        assert_eq!(of(vec![request.clone()], 1, Some(1)), line);
        assert_eq!(of(vec![request], 3, Some(1)), format!("{line}and 2 more\n"));
        assert_eq!(of(Vec::new(), 0, Some(1)), "nothing is under way\n");
        assert_eq!(
            of(Vec::new(), 0, Some(20 * STALE_NS)),
            "as of 200 s ago:\nnothing is under way\n"
        );
        let others = serde_json::json!({
            "requests": [], "matched": 0, "total": 9, "looked_ns_ago": 1
        });
        assert_eq!(printed(others), "none of 9 under way is like that\n");
        assert!(of(Vec::new(), 0, None).contains("no kernel view"));
    }
}
