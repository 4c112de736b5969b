//! Which series a measurement goes to: those of its endpoint and, where callers are told apart, of the process that
//! connected and its workload.

mod callers;
pub(super) mod family;
pub(super) mod histogram;

use std::time::Instant;

use da_ebpf_common::peers::Peers;
use foldhash::HashMap;

pub use self::callers::Caller;
use self::callers::{CallerId, Callers};
use super::endpoints::catalogue::EndpointKind;
use super::endpoints::{EndpointId, EndpointLabels};
use super::peers::shown_name;
use crate::metrics::Registry;

/// The series of one endpoint and caller, in every family; those of another one never have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(usize);

/// Their label values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeriesLabels {
    /// The `kind` label.
    pub kind: EndpointKind,
    /// The `provider` label: the endpoint's name.
    pub provider: String,
    /// The labels `process` and `workload`, where callers are told apart.
    pub caller: Option<Caller>,
}

impl SeriesLabels {
    /// In the order of [`SocketRegistry::label_names`].
    pub fn values(&self) -> Vec<&str> {
        let mut values = vec![self.kind.as_str()];
        values.extend(self.caller.as_ref().map(|caller| caller.process.as_str()));
        values.push(&self.provider);
        values.extend(self.caller.as_ref().map(|caller| caller.workload.as_str()));
        values
    }
}

/// All of them.
#[derive(Debug)]
pub struct AllSeries {
    callers: Callers,
    ids: HashMap<(EndpointId, Option<CallerId>), SeriesId>,
    series: HashMap<SeriesId, (Option<CallerId>, SeriesLabels)>,
    made: usize,
}

impl AllSeries {
    /// Tells that many callers apart; 0 tells none apart, and leaves their labels out.
    pub fn new(max_callers: u32) -> Self {
        let callers = Callers::new(usize::try_from(max_callers).unwrap_or(usize::MAX));
        Self { callers, ids: HashMap::default(), series: HashMap::default(), made: 0 }
    }

    /// The same, and a caller without a connection gives way at once.
    #[cfg(test)]
    pub fn without_patience(self) -> Self {
        Self { callers: self.callers.unused_for(std::time::Duration::ZERO), ..self }
    }

    /// Whether there are labels for callers.
    pub fn by_caller(&self) -> bool {
        self.callers.max() > 0
    }

    /// Where what a connection of these peers, of that workload, to this endpoint measures goes, as of `now`.
    pub fn of(
        &mut self,
        endpoint: EndpointId,
        labels: &EndpointLabels,
        peers: &Peers,
        workload: Option<&str>,
        now: Instant,
    ) -> SeriesId {
        let caller = self.by_caller().then(|| {
            let process = shown_name(peers);
            let workload = workload.map_or_else(|| process.clone(), str::to_owned);
            self.callers.id(Caller { process, workload }, now)
        });
        let (caller_id, caller) = caller.unzip();
        *self.ids.entry((endpoint, caller_id)).or_insert_with(|| {
            let id = SeriesId(self.made);
            self.made += 1;
            let labels = SeriesLabels { kind: labels.kind, provider: labels.name.clone(), caller };
            self.series.insert(id, (caller_id, labels));
            id
        })
    }

    /// One connection more goes to a series, or one less, as of `now`.
    pub fn opened(&mut self, id: SeriesId, change: i64, now: Instant) {
        if let Some((Some(caller), _)) = self.series.get(&id) {
            self.callers.opened(*caller, change, now);
        }
    }

    /// Label values of a series that connections go to.
    pub fn labels(&self, id: SeriesId) -> &SeriesLabels {
        &self.series[&id].1
    }

    /// Series of callers that gave way since the last call; none of them has a connection.
    pub fn take_gone(&mut self) -> Vec<(SeriesId, SeriesLabels)> {
        let gone = self.callers.take_gone();
        if gone.is_empty() {
            return Vec::new();
        }
        self.ids.retain(|(_, caller), _| caller.is_none_or(|caller| !gone.contains(&caller)));
        let is_gone = |caller: &Option<CallerId>| caller.is_some_and(|one| gone.contains(&one));
        let series = self.series.extract_if(|_, (caller, _)| is_gone(caller));
        series.map(|(id, (_, labels))| (id, labels)).collect()
    }
}

#[cfg(test)]
impl SeriesId {
    /// One that tests make up.
    pub fn for_test(number: usize) -> Self {
        Self(number)
    }
}

/// Where families about sockets are registered, and which labels all of them have.
#[derive(Debug, Clone, Copy)]
pub struct SocketRegistry<'a> {
    /// Where.
    pub registry: &'a Registry,
    /// Whether they have labels for callers.
    pub by_caller: bool,
}

impl SocketRegistry<'_> {
    /// The names of the labels, with those of `more` behind them.
    pub fn label_names<'n>(&self, more: &[&'n str]) -> Vec<&'n str> {
        let common: &[_] = if self.by_caller {
            &["kind", "process", "provider", "workload"]
        } else {
            &["kind", "provider"]
        };
        common.iter().chain(more).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn peers(command: &str) -> Peers {
        let mut peers = Peers::new_zeroed();
        peers.command[..command.len()].copy_from_slice(command.as_bytes());
        peers
    }

    fn endpoint() -> EndpointLabels {
        EndpointLabels { name: "a".to_owned(), kind: EndpointKind::Llm }
    }

    fn process_of(series: &mut AllSeries, command: &str) -> String {
        let id =
            series.of(EndpointId::for_test(0), &endpoint(), &peers(command), None, Instant::now());
        series.labels(id).caller.clone().expect("told apart").process
    }

    #[test]
    fn each_endpoint_and_caller_has_its_own() {
        let (mut series, now) = (AllSeries::new(2), Instant::now());
        let mut of = |endpoint_id, command, workload| {
            let id = EndpointId::for_test(endpoint_id);
            let id = series.of(id, &endpoint(), &peers(command), workload, now);
            (id, series.labels(id).values().join(" "))
        };
        let (bot, labels) = of(0, "python3", Some("shop/bot"));
        assert_eq!(labels, "llm python3 a shop/bot");
        assert_eq!(of(0, "python3", Some("shop/bot")).0, bot);
        assert_ne!(of(1, "python3", Some("shop/bot")).0, bot);
        assert_eq!(of(0, "node", None).1, "llm node a node", "its workload is not known");
        let (curl, labels) = of(0, "curl", Some("shop/bot"));
        assert_eq!((curl, labels.as_str()), (of(0, "wget", None).0, "llm other a other"));
        assert_ne!(curl, of(1, "wget", None).0);
    }

    #[test]
    fn the_series_of_a_caller_that_gave_way_are_told_once() {
        let (mut series, now) = (AllSeries::new(1), Instant::now());
        let of = |series: &mut AllSeries, endpoint_id, command, now| {
            let id = EndpointId::for_test(endpoint_id);
            series.of(id, &endpoint(), &peers(command), None, now)
        };
        let first = [0, 1].map(|endpoint_id| of(&mut series, endpoint_id, "python3", now));
        series.opened(first[0], 1, now);
        series.opened(first[0], -1, now);
        assert!(series.take_gone().is_empty());
        let later = now + callers::UNUSED_FOR;
        let node = of(&mut series, 0, "node", later);
        let mut gone: Vec<_> = series.take_gone().into_iter().map(|(id, _)| id).collect();
        gone.sort_unstable();
        assert_eq!(gone, first);
        assert!(series.take_gone().is_empty());
        assert_eq!(series.labels(node).values(), ["llm", "node", "a", "node"]);
    }

    #[test]
    fn a_name_is_made_fit_to_be_shown() {
        let mut series = AllSeries::new(9);
        assert_eq!(process_of(&mut series, "a\nb\u{1b}"), "a_b_");
        // Marks of direction, a joiner of no width, separators, a character without a meaning.
        for c in "\u{202e}\u{2066}\u{200d}\u{feff}\u{2028}\u{2029}\u{e000}\u{fffe}".chars() {
            let name = process_of(&mut series, &format!("a{c}b"));
            assert_eq!(name, "a_b", "{}", c.escape_unicode());
        }
        assert_eq!(process_of(&mut series, "ünï -1.é語"), "ünï -1.é語");
        assert_eq!(process_of(&mut series, ""), "unnamed");
        assert_eq!(process_of(&mut series, "other"), "other");
    }

    #[test]
    fn without_callers_there_are_no_labels_for_them() {
        let mut series = AllSeries::new(0);
        let [one, two] = ["python3", "node"].map(|command| {
            let (id, workload) = (EndpointId::for_test(0), Some("shop/bot"));
            series.of(id, &endpoint(), &peers(command), workload, Instant::now())
        });
        assert_eq!(one, two);
        assert_eq!(series.labels(one).values(), ["llm", "a"]);
        let registry = &Registry::new();
        let names = |by_caller| SocketRegistry { registry, by_caller }.label_names(&["outcome"]);
        assert_eq!(names(false), ["kind", "provider", "outcome"]);
        assert_eq!(names(true), ["kind", "process", "provider", "workload", "outcome"]);
    }
}
