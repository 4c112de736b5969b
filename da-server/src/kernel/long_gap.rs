//! Long gaps between the arrivals of a response, and what caused them: `socket_long_gap_seconds`.

use da_ebpf_common::arrival::MAX_FIRST_ARRIVALS;
use da_ebpf_common::histogram::{Histogram, bucket};
use da_ebpf_common::long_gap::LongGap;
use foldhash::HashSet;
use serde::{Deserialize, Serialize};

use super::series::family::DetailHistogram;
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// Gaps of one response that are kept one by one; of more, the shortest but the very first are only counted.
const MAX_KEPT: usize = 3 * MAX_FIRST_ARRIVALS;

/// What kept the next bytes of a response waiting: label value of `socket_long_gap_seconds{cause}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// None of the others: the provider, or the way from it where that shows by nothing.
    Provider,
    /// Segments were lost on the way, or overtaken: others came out of order during the gap, which was no longer than
    /// TCP takes to recover.
    Network,
    /// The receive window was used up for at least half of it: the provider could send nothing, because the process
    /// did not read.
    Window,
    /// The process had not read what was there for at least half of it. Whether the provider waited for that does not
    /// show.
    Client,
}

/// How long TCP takes to recover, besides [`RECOVERY_ROUND_TRIPS`]: a segment that is lost when it is sent again waits
/// for the timeout, which is 0.2 s at least on Linux and 1 s in RFC 6298 §2.4.
const RECOVERY_NS: u64 = 1_000_000_000;
/// Those in which the loss is noticed and made up for, twice.
const RECOVERY_ROUND_TRIPS: u64 = 4;

impl GapCause {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::Provider, Self::Network, Self::Window, Self::Client];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Network => "network",
            Self::Window => "window",
            Self::Client => "client",
        }
    }

    /// Of a gap about which TCP knows so much. What is certain comes first.
    fn of(gap: &LongGap) -> Self {
        let gap_ns = gap.to_ns.saturating_sub(gap.from_ns);
        let round_trip_ns = u64::from(gap.srtt_eighths_us) * 1_000 / 8;
        let is_recovery = gap_ns <= RECOVERY_NS + RECOVERY_ROUND_TRIPS * round_trip_ns;
        if 2 * gap.window_closed_ns >= gap_ns {
            Self::Window
        } else if gap.out_of_order > 0 && is_recovery {
            Self::Network
        } else if 2 * gap.unread_ns >= gap_ns {
            Self::Client
        } else {
            Self::Provider
        }
    }
}

/// A long gap between two arrivals. Times are ns of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenGap {
    /// The arrival before it.
    pub from_ns: u64,
    /// The arrival after it.
    pub to_ns: u64,
    /// What caused it.
    pub cause: GapCause,
}

impl SeenGap {
    fn ns(&self) -> u64 {
        self.to_ns.saturating_sub(self.from_ns)
    }
}

impl From<&LongGap> for SeenGap {
    fn from(gap: &LongGap) -> Self {
        Self { from_ns: gap.from_ns, to_ns: gap.to_ns, cause: GapCause::of(gap) }
    }
}

/// Those of one response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenGaps {
    /// The first few and the longest, in order.
    pub kept: Vec<SeenGap>,
    /// All of each cause together, ns, in the order of [`GapCause::ALL`].
    pub sums_ns: [u64; GapCause::ALL.len()],
}

/// Some of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pauses {
    /// How many.
    pub count: u64,
    /// How long they are in all, ns.
    pub sum_ns: u64,
}

/// What is known of a response's gaps until it is over.
#[derive(Debug)]
pub struct LongGaps {
    /// Number of its request.
    number: u64,
    kept: Vec<SeenGap>,
    /// Those that gave way, by cause.
    others: Option<Box<[Histogram; GapCause::ALL.len()]>>,
}

impl LongGaps {
    /// None yet, of the request of that number.
    pub fn of(number: u64) -> Self {
        Self { number, kept: Vec::new(), others: None }
    }

    /// Whether they are of the request of that number.
    pub fn are_of(&self, number: u64) -> bool {
        self.number == number
    }

    /// One more, later than the others.
    pub fn add(&mut self, gap: SeenGap) {
        self.kept.push(gap);
        if self.kept.len() <= MAX_KEPT {
            return;
        }
        // The very first may have been before the response began: see `since`.
        let later = MAX_FIRST_ARRIVALS..self.kept.len();
        let Some(shortest) = later.min_by_key(|at| self.kept[*at].ns()) else { return };
        let gap = self.kept.remove(shortest);
        let others =
            self.others.get_or_insert_with(|| Box::new([Histogram::EMPTY; GapCause::ALL.len()]));
        let histogram = &mut others[gap.cause as usize];
        histogram.sum_ns += gap.ns();
        histogram.buckets[bucket(gap.ns())] += 1;
    }

    /// Without those before the response began.
    pub fn since(mut self, start_ns: u64) -> Self {
        self.kept.retain(|gap| gap.from_ns >= start_ns);
        self
    }

    /// How many there are and how long they are in all, if nothing here or on the way has caused any of them.
    pub fn by_provider(&self) -> Option<Pauses> {
        let is_of_provider = |gap: &SeenGap| gap.cause == GapCause::Provider;
        let mut pauses = Pauses { count: self.kept.len() as u64, sum_ns: 0 };
        pauses.sum_ns = self.kept.iter().map(SeenGap::ns).sum();
        for (cause, others) in GapCause::ALL.iter().zip(self.others.iter().flat_map(|all| &**all)) {
            let count: u64 = others.buckets.iter().copied().map(u64::from).sum();
            if count > 0 && *cause != GapCause::Provider {
                return None;
            }
            pauses.count += count;
            pauses.sum_ns += others.sum_ns;
        }
        self.kept.iter().all(is_of_provider).then_some(pauses)
    }

    /// All of them, if there are any.
    pub fn seen(&self) -> Option<SeenGaps> {
        if self.kept.is_empty() {
            return None;
        }
        let mut sums_ns = [0; GapCause::ALL.len()];
        for gap in &self.kept {
            sums_ns[gap.cause as usize] += gap.ns();
        }
        for (sum_ns, histogram) in sums_ns.iter_mut().zip(self.others.iter().flat_map(|all| &**all))
        {
            *sum_ns += histogram.sum_ns;
        }
        Some(SeenGaps { kept: self.kept.clone(), sums_ns })
    }
}

/// Edges of the family: some of the programs', since there are four causes.
const LONG_GAPS_NS: [u64; 9] = [
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];

/// The family of this module.
#[derive(Debug)]
pub struct LongGapMetrics {
    long_gap_seconds: DetailHistogram,
    /// Series that are there, if at 0.
    known: HashSet<SeriesId>,
}

impl LongGapMetrics {
    /// Registers it.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: SocketRegistry<'_>) -> prometheus::Result<Self> {
        let long_gap_seconds = DetailHistogram::register(
            registry,
            "socket_long_gap_seconds",
            "Time between one arrival of a response at the socket and the next where that is \
             kernel.long_gap_ms or more, by what caused it: window (closed, because the process \
             did not read), network (segments were lost or overtaken), client (bytes lay unread) \
             or, where none of these shows, provider. Observed when the exchange is reported.",
            "cause",
            &LONG_GAPS_NS,
        )?;
        Ok(Self { long_gap_seconds, known: HashSet::default() })
    }

    /// The gaps of one response.
    pub fn responded(&mut self, id: SeriesId, labels: &SeriesLabels, gaps: Option<&LongGaps>) {
        // Long before there is a gap, so that a rate sees the first one.
        if self.known.insert(id) {
            for cause in GapCause::ALL {
                self.long_gap_seconds.merge(id, labels, cause.as_str(), &Histogram::EMPTY);
            }
        }
        let Some(gaps) = gaps else { return };
        for gap in &gaps.kept {
            self.long_gap_seconds.observe_ns(id, labels, gap.cause.as_str(), gap.ns());
        }
        for (cause, histogram) in
            GapCause::ALL.iter().zip(gaps.others.iter().flat_map(|all| &**all))
        {
            self.long_gap_seconds.merge(id, labels, cause.as_str(), histogram);
        }
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId) {
        self.known.remove(&id);
        self.long_gap_seconds.forget(id);
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn gap(unread_ns: u64, window_closed_ns: u64, out_of_order: u32) -> LongGap {
        let mut gap = LongGap::new_zeroed();
        (gap.from_ns, gap.to_ns) = (1_000, 2_000);
        (gap.unread_ns, gap.window_closed_ns, gap.out_of_order) =
            (unread_ns, window_closed_ns, out_of_order);
        gap
    }

    #[test]
    fn what_this_side_did_for_most_of_a_gap_is_its_cause() {
        assert_eq!(GapCause::of(&gap(0, 0, 0)), GapCause::Provider);
        assert_eq!(GapCause::of(&gap(499, 499, 0)), GapCause::Provider, "less than half of it");
        assert_eq!(GapCause::of(&gap(500, 0, 0)), GapCause::Client);
        assert_eq!(GapCause::of(&gap(1_000, 0, 2)), GapCause::Network, "whoever had not read");
        assert_eq!(GapCause::of(&gap(1_000, 500, 2)), GapCause::Window);
    }

    #[test]
    fn no_recovery_takes_as_long_as_a_provider_may_pause() {
        let mut long = gap(0, 0, 1);
        long.srtt_eighths_us = 8 * 50_000;
        long.to_ns = long.from_ns + 1_200_000_000;
        assert_eq!(GapCause::of(&long), GapCause::Network);
        long.to_ns += 1;
        assert_eq!(GapCause::of(&long), GapCause::Provider);
    }

    #[test]
    fn its_edges_are_the_programs() {
        assert!(LONG_GAPS_NS.iter().all(|edge| da_ebpf_common::histogram::EDGES_NS.contains(edge)));
    }

    #[test]
    fn label_and_json_are_one_word() {
        for (index, cause) in GapCause::ALL.into_iter().enumerate() {
            assert_eq!(serde_json::to_value(cause).expect("JSON"), cause.as_str());
            assert_eq!(cause as usize, index);
        }
    }

    #[test]
    fn of_many_gaps_the_longest_are_kept_and_all_are_counted() {
        let mut gaps = LongGaps::of(1);
        let mut sum_ns = 0;
        for index in 0..100 {
            let (from_ns, cause) = (1_000_000 * index, GapCause::ALL[index as usize % 4]);
            gaps.add(SeenGap { from_ns, to_ns: from_ns + 100 + index, cause });
            sum_ns += 100 + index;
        }
        let seen = gaps.seen().expect("gaps");
        assert_eq!(seen.kept.len(), MAX_KEPT);
        assert!(seen.kept.is_sorted_by_key(|gap| gap.from_ns));
        assert_eq!(seen.kept.last().map(SeenGap::ns), Some(199), "the longest");
        assert_eq!(seen.sums_ns.iter().sum::<u64>(), sum_ns);
        let others: u32 =
            gaps.others.iter().flat_map(|all| all.iter()).flat_map(|one| one.buckets).sum();
        assert_eq!(others as usize + MAX_KEPT, 100);
    }

    #[test]
    fn a_pause_between_session_tickets_and_the_response_is_none_of_its_gaps() {
        let mut gaps = LongGaps::of(1);
        for (from_ns, to_ns) in [(100, 900), (900, 1_500)] {
            gaps.add(SeenGap { from_ns, to_ns, cause: GapCause::Provider });
        }
        let seen = gaps.since(900).seen().expect("one");
        assert_eq!((seen.kept.len(), seen.sums_ns), (1, [600, 0, 0, 0]));
    }
}
