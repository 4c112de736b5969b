//! Where and when something was measured.

use std::fmt;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde::Serialize;

/// Where and when.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor, as the kernel calls it.
    pub processor: String,
    /// How many of them there are.
    pub processors: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Commit of the sources; with `+` if there are changes on top of it.
    pub commit: String,
    /// When, UTC.
    pub at: jiff::Timestamp,
    /// How busy all processors together were in the second before, percent: what else was at work.
    pub busy_before_percent: f64,
}

impl Machine {
    /// This one, now. Takes a second.
    pub fn now() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let commit = git(&["rev-parse", "--short=12", "HEAD"]);
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
        Self {
            processor: processor
                .map_or("unknown", |name| name.trim_matches([':', '\t', ' ']))
                .into(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            commit: commit + if changed.is_empty() { "" } else { "+" },
            at: jiff::Timestamp::now(),
            busy_before_percent: busy_percent(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}, {} × {}, Linux {}, commit {}; processors busy in the second before: {:.0} %.",
            self.at.strftime("%Y-%m-%d %H:%M UTC"),
            self.processors,
            self.processor,
            self.kernel,
            self.commit,
            self.busy_before_percent
        )
    }
}

/// Share of a second that the processors did not spend idle.
fn busy_percent() -> f64 {
    let before = processor_ticks();
    thread::sleep(Duration::from_secs(1));
    let after = processor_ticks();
    let (all, idle) = (after.0 - before.0, after.1 - before.1);
    (1.0 - idle / all) * 100.0
}

/// Clock ticks of all processors since the start, and those of them that were idle: proc_stat(5).
fn processor_ticks() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // The last two, of guests, are part of the first two.
    let ticks: Vec<f64> = ticks.take(8).filter_map(|number| number.parse().ok()).collect();
    (ticks.iter().sum(), ticks.get(3).copied().unwrap_or_default())
}

/// What git says; nothing where it can't be asked, as in an archive.
fn git(arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).output();
    let output = output.ok().filter(|output| output.status.success());
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.unwrap_or_default()
}
