//! `da-server replay`: a recording shown again at its own pace, with neither privileges nor a kernel view
//! nor a game behind it. Events go through the reader's own path, calls through the same correlation.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use flate2::read::GzDecoder;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::calls::{Calls, KernelView};
use crate::clock::Clock;
use crate::config::Config;
use crate::kernel::{LatestUnderWay, Observation, Reason, Recorded, Replay, Watch};
use crate::metrics::Metrics;
use crate::provider::{CallReport, CallReports};
use crate::recording::Line;
use crate::{Collector, Listeners};

/// Some seconds of the game with simulated providers.
const EXAMPLE: &[u8] = include_bytes!("../recordings/example.jsonl.gz");
/// How a file begins that gzip has written, RFC 1952.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How long nothing is done while the next entry is not due: the end of the program is waited for too.
const LOOK: Duration = Duration::from_millis(20);

/// What a line of a recording holds.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Kernel(Recorded),
    Call { call: Box<CallReport> },
}

/// A recording, read and not yet shown.
#[derive(Debug)]
pub struct Recording {
    /// The build that wrote it.
    commit: String,
    watch: Watch,
    lines: Vec<Line<Entry>>,
}

impl Recording {
    /// The one in `file`, compressed by gzip or not, or the one that is built in.
    ///
    /// # Errors
    /// It can't be read, is no recording, or has no kernel view in it.
    pub fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else { return Self::read(EXAMPLE) };
        let bytes = std::fs::read(file);
        let read = bytes.map_err(anyhow::Error::from).and_then(|bytes| Self::read(&bytes));
        let recording = read.with_context(|| format!("can't replay {}", file.display()))?;
        if recording.commit != crate::COMMIT {
            let (of, this) = (&recording.commit, crate::COMMIT);
            tracing::warn!(of, this, "the recording is of another build, whose events may differ");
        }
        Ok(recording)
    }

    fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let plain: Box<dyn Read + '_> = match bytes.starts_with(&GZIP) {
            true => Box::new(GzDecoder::new(bytes)),
            false => Box::new(bytes),
        };
        let (mut lines, mut broken) = (Vec::new(), None);
        for (number, line) in BufReader::new(plain).lines().enumerate() {
            if let Some(broken) = broken {
                return Err(broken);
            }
            // The last one may be cut: the disk was full.
            match serde_json::from_str::<Line<Entry>>(&line?) {
                Ok(line) => lines.push(line),
                Err(error) => {
                    let what = format!("line {} is no entry", number + 1);
                    broken = Some(anyhow::Error::from(error).context(what));
                }
            }
        }
        if let Some(broken) = broken {
            ensure!(!lines.is_empty(), broken);
            tracing::warn!("the recording ends in the middle of an entry");
        }
        ensure!(!lines.is_empty(), "it is empty");
        let begun = lines.iter().find_map(|line| match &line.entry {
            Entry::Kernel(Recorded::Begun { commit, watch }) => Some((commit, watch.clone())),
            _ => None,
        });
        let Some((commit, watch)) = begun else {
            bail!("there was no kernel view when it was recorded")
        };
        let commit = commit.clone();
        Ok(Self { commit, watch, lines })
    }

    /// From its first entry to its last.
    fn lasts(&self) -> Duration {
        let at_ns = |line: Option<&Line<Entry>>| line.map_or(0, |line| line.at_ns);
        let (first_ns, last_ns) = (at_ns(self.lines.first()), at_ns(self.lines.last()));
        Duration::from_nanos(last_ns.saturating_sub(first_ns))
    }
}

/// Shows `recording` on `/metrics` and `/calls`, and serves what it left until `shutdown`.
///
/// # Errors
/// A listener can't be used, or no thread could be had.
pub async fn replay(
    recording: Recording,
    config: Config,
    metrics: Metrics,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let registry = metrics.registry();
    let view = Replay::new(&recording.watch, registry)?;
    let clock = Clock::begin(recording.lines.first().map_or(0, |line| line.at_ns));
    let (observed, seen) = KernelView::channel(view.settlements(), LatestUnderWay::default());
    let calls = Calls::replay(clock, &config.calls, registry, seen)?;
    tracing::info!(entries = recording.lines.len(), lasts = ?recording.lasts(), "replaying");
    let show = Show { clock, view, observed, reports: calls.reports.clone() };
    let end = shutdown.clone();
    let thread = std::thread::Builder::new().name("da-replay".to_owned());
    thread.spawn(move || show.all(recording.lines, &end))?;
    let calls = Some(calls.history);
    // Of this process there is none.
    let kernel_missing = Some(Reason::Disabled);
    Collector { config, metrics, kernel_missing, calls }.run(listeners, None, shutdown).await
}

/// Where the entries of a recording go.
struct Show {
    clock: Clock,
    view: Replay,
    observed: SyncSender<Observation>,
    reports: CallReports,
}

impl Show {
    fn all(mut self, lines: Vec<Line<Entry>>, end: &CancellationToken) {
        let mut unreadable = 0_u64;
        for line in lines {
            while self.clock.now_ns() < line.at_ns && !end.is_cancelled() {
                self.view.batch_ends();
                std::thread::sleep(LOOK);
            }
            if end.is_cancelled() {
                return;
            }
            unreadable += u64::from(!self.entry(line.entry));
        }
        if unreadable > 0 {
            tracing::warn!(unreadable, "the recording has events of another build of da-server");
        }
        tracing::info!("the recording is over: /metrics and /calls stay as they are now");
        // As long as this thread has its end, the correlation has a kernel view.
        while !end.is_cancelled() {
            std::thread::sleep(LOOK);
        }
    }

    /// Whether it could be read.
    fn entry(&mut self, entry: Entry) -> bool {
        match entry {
            Entry::Kernel(recorded) => {
                let could_be_read = self.view.take_recorded(&recorded);
                for observation in self.view.observations() {
                    // Gone where the correlation has ended, and with it the program.
                    let _ = self.observed.send(observation);
                }
                could_be_read
            }
            Entry::Call { call } => {
                self.reports.send(self.as_of_today(*call));
                true
            }
        }
    }

    /// With the time of day at which it would have begun now, and a number that no other call of this process has.
    fn as_of_today(&self, call: CallReport) -> CallReport {
        let ago = Duration::from_nanos(self.clock.now_ns().saturating_sub(call.began_ns));
        let began = SystemTime::now() - ago;
        let since_epoch = began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (id, began_unix_ms) = (self.reports.ids().next(), since_epoch.as_millis() as u64);
        CallReport { id, began_unix_ms, ..call }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_recording_is_refused_with_its_line() {
        let refusal = |bytes: &[u8]| format!("{:#}", Recording::read(bytes).expect_err("refused"));
        assert!(refusal(b"").contains("empty"));
        assert!(refusal(b"{\"at_ns\":1,\"event\":\"AA==\"}\n{}\n{}\n").contains("line 2"));
        assert!(refusal(b"{}\n").contains("line 1"));
        let cut = b"{\"at_ns\":1,\"event\":\"AA==\"}\n{\"at_";
        assert!(refusal(cut).contains("no kernel view"), "but for that it could be shown");
        assert!(refusal(b"{\"at_ns\":1,\"event\":\"AA==\"}\n").contains("no kernel view"));
        let open = Recording::open(Some(Path::new("/nowhere"))).expect_err("refused");
        assert!(format!("{open:#}").contains("can't replay /nowhere"));
    }

    /// If the layout of an event changes, the recording is to be made anew: CONTRIBUTING.md says how.
    #[test]
    fn every_entry_of_the_example_can_be_read() {
        let recording = Recording::open(None).expect("read");
        let metrics = Metrics::new().expect("metrics");
        let mut view = Replay::new(&recording.watch, metrics.registry()).expect("registers");
        let (mut calls, mut observations) = (0, 0);
        for line in &recording.lines {
            match &line.entry {
                Entry::Kernel(recorded) => assert!(view.take_recorded(recorded)),
                Entry::Call { .. } => calls += 1,
            }
            observations += view.observations().count();
        }
        assert!(calls >= 20 && observations > calls, "{calls} calls, {observations} observations");
        assert!(recording.lasts() < Duration::from_secs(30));
    }
}
