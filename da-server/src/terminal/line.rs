//! A call in one line.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use jiff::Timestamp;

use super::bar::{PAUSE, cells, letter};
use crate::calls::{Call, Join, Phase, Process, Socket};
use crate::kernel::GapCause;

/// What the letters mean.
pub(super) const LEGEND: &str = "q queue  d dns  c connect  t tls  s send  w wait  p pickup  \
    f first token  = stream  ? unexplained  · pause; times of day are UTC";

const BAR_CELLS: u64 = 32;
const NAME_CHARACTERS: usize = 30;

/// A call, as it is shown.
pub(super) struct Line<'a> {
    pub(super) call: &'a Call,
    pub(super) colors: bool,
    /// With the day on which it began.
    pub(super) with_date: bool,
}

impl Display for Line<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let call = self.call;
        let began = i64::try_from(call.began_unix_ms)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let form = if self.with_date { "%Y-%m-%d %H:%M:%S%.3f" } else { "%H:%M:%S%.3f" };
        let began = began.unwrap_or_default().strftime(form);
        let name = shown(&format!("{} {}", call.provider, what(call)));
        write!(out, "{began} #{:<6} {} {name:<NAME_CHARACTERS$} ", call.id, call.kind.as_str())?;
        write!(out, "{:>8} ", duration(call.duration_ns))?;
        self.bar(out)?;
        write!(out, " {}", call.outcome.as_str())?;
        if let Some((phase, ns)) = longest(call) {
            write!(out, ", {} {}", phase.as_str().replace('_', " "), duration(ns))?;
        }
        for (cause, ns) in long_gaps(call) {
            write!(out, ", long gaps by {} {}", cause.as_str(), duration(ns))?;
        }
        if sockets(call).any(|socket| socket.is_buffered) {
            write!(out, ", in bursts")?;
        }
        if call.attempts.len() > 1 {
            write!(out, ", {} attempts", call.attempts.len())?;
        }
        if let Some(workload) = call.process.as_ref().and_then(|process| process.workload.as_ref())
        {
            write!(out, ", of {workload:?}")?;
        }
        if call.attempts.iter().any(|attempt| is_coarse(attempt.join)) {
            write!(out, ", application alone")?;
        }
        Ok(())
    }
}

impl Line<'_> {
    fn bar(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for cell in cells(self.call, BAR_CELLS) {
            match cell {
                Some(phase) if self.colors => write!(out, "{}{}", color(phase), letter(phase))?,
                None if self.colors => write!(out, "\x1b[0m{PAUSE}")?,
                _ => write!(out, "{}", cell.map_or(PAUSE, letter))?,
            }
        }
        if self.colors { write!(out, "\x1b[0m") } else { Ok(()) }
    }
}

/// What answered, or of another process's call, whose it was.
fn what(call: &Call) -> String {
    match (&call.process, &call.model) {
        (Some(Process { name, pid, .. }), _) => format!("{name} {pid}"),
        (None, model) => model.clone().unwrap_or_default(),
    }
}

/// Whether the application alone says where the time went, although there was a socket.
fn is_coarse(join: Join) -> bool {
    !matches!(join, Join::Joined | Join::NoSocket | Join::Observed)
}

/// What the kernel saw of the connections that its attempts ran on.
fn sockets(call: &Call) -> impl Iterator<Item = &Socket> {
    call.attempts.iter().filter_map(|attempt| attempt.socket.as_ref())
}

/// Where most of the time went.
fn longest(call: &Call) -> Option<(Phase, u64)> {
    let phases = call.phases();
    let most = phases.iter().max_by_key(|(_, ns)| *ns);
    most.filter(|(_, ns)| *ns > 0)
}

/// How long its responses paused, by cause, where that is worth a note: a provider may think.
fn long_gaps(call: &Call) -> Vec<(GapCause, u64)> {
    let mut sums = BTreeMap::new();
    let all = sockets(call).flat_map(|socket| &socket.long_gaps_ns);
    for (cause, ns) in all.filter(|(cause, _)| **cause != GapCause::Provider) {
        *sums.entry(*cause).or_default() += ns;
    }
    sums.into_iter().collect()
}

/// Three digits that count: 1.24 s, 38.1 ms, 412 µs.
pub(super) fn duration(ns: u64) -> String {
    let (unit, name) = match ns {
        1_000_000_000.. => (1e9, "s"),
        1_000_000.. => (1e6, "ms"),
        1_000.. => (1e3, "µs"),
        _ => return format!("{ns} ns"),
    };
    let value = ns as f64 / unit;
    let digits = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$} {name}")
}

/// Words of a server, whichever that is: nothing that moves the cursor, and no longer than a column.
pub(super) fn shown(words: &str) -> String {
    let mut shown: String = words
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(NAME_CHARACTERS + 1)
        .collect();
    if shown.chars().count() > NAME_CHARACTERS {
        shown = shown.chars().take(NAME_CHARACTERS - 1).chain(['…']).collect();
    }
    shown
}

/// Black or white letters on the page's colors, or what comes next to them among the 256.
const fn color(phase: Phase) -> &'static str {
    match phase {
        Phase::Queue => "\x1b[38;5;16;48;5;246m",
        Phase::Dns => "\x1b[38;5;16;48;5;74m",
        Phase::Connect => "\x1b[38;5;231;48;5;25m",
        Phase::Tls => "\x1b[38;5;16;48;5;175m",
        Phase::Send => "\x1b[38;5;16;48;5;227m",
        Phase::Wait => "\x1b[38;5;16;48;5;178m",
        Phase::Pickup => "\x1b[38;5;231;48;5;166m",
        Phase::FirstToken => "\x1b[38;5;16;48;5;36m",
        Phase::Stream => "\x1b[38;5;16;48;5;115m",
        Phase::Unexplained => "\x1b[38;5;16;48;5;231m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::sample_call as call;

    #[test]
    fn a_line_says_when_who_how_long_where_and_how_it_ended() {
        let mut call = call(17, 1_240_000_000);
        call.began_unix_ms = 1_763_820_001_700;
        let line = Line { call: &call, colors: false, with_date: false }.to_string();
        let expected = format!(
            "14:00:01.700 #17     llm anthropic m{:19}   1.24 s {} success, wait 1.24 s, application alone",
            "",
            "w".repeat(32)
        );
        assert_eq!(line, expected);
        let colored = Line { call: &call, colors: true, with_date: false }.to_string();
        assert!(colored.contains("\x1b[38;5;16;48;5;178mw") && colored.contains("\x1b[0m"));
    }

    #[test]
    fn a_servers_words_stay_in_their_column_and_move_no_cursor() {
        assert_eq!(shown("a\x1b[2Jb\n"), "a?[2Jb?");
        assert_eq!(shown(&"m".repeat(50)).chars().count(), NAME_CHARACTERS);
    }

    #[test]
    fn durations_have_three_digits() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (38_120, "38.1 µs"),
            (412_000_000, "412 ms"),
            (61_000_000_000, "61.0 s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }
}
