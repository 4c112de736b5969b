//! Which series a measurement goes to: those of its endpoint and, where processes are told apart, of
//! the process that connected.

pub(super) mod family;
pub(super) mod histogram;

use da_ebpf_common::peers::Peers;
use foldhash::HashMap;

use super::endpoints::catalogue::EndpointKind;
use super::endpoints::{EndpointId, EndpointLabels};
use super::peers::shown_name;
use crate::metrics::Registry;

/// The process label of whatever is beyond the bound.
const OTHER: &str = "other";

/// The series of one endpoint and process, in every family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(usize);

/// Their label values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeriesLabels {
    /// The `kind` label.
    pub kind: EndpointKind,
    /// The `process` label, where processes are told apart.
    pub process: Option<String>,
    /// The `provider` label: the endpoint's name.
    pub provider: String,
}

impl SeriesLabels {
    /// In the order of [`SocketRegistry::label_names`].
    pub fn values(&self) -> Vec<&str> {
        let kind = std::iter::once(self.kind.as_str());
        kind.chain(self.process.as_deref()).chain([self.provider.as_str()]).collect()
    }
}

/// All of them.
#[derive(Debug)]
pub struct AllSeries {
    processes: Processes,
    ids: HashMap<(EndpointId, Option<ProcessId>), SeriesId>,
    labels: Vec<SeriesLabels>,
}

impl AllSeries {
    /// Tells that many processes apart, by name and in the order in which they come; 0 tells none
    /// apart, and leaves the label out.
    pub fn new(max_processes: u32) -> Self {
        let max = usize::try_from(max_processes).unwrap_or(usize::MAX);
        let processes = Processes { max, names: Vec::new() };
        Self { processes, ids: HashMap::default(), labels: Vec::new() }
    }

    /// Whether there is a label for processes.
    pub fn by_process(&self) -> bool {
        self.processes.max > 0
    }

    /// Where what a connection of these peers to this endpoint measures goes.
    pub fn of(&mut self, endpoint: EndpointId, labels: &EndpointLabels, peers: &Peers) -> SeriesId {
        let process = self.by_process().then(|| self.processes.id(shown_name(peers)));
        *self.ids.entry((endpoint, process)).or_insert_with(|| {
            self.labels.push(SeriesLabels {
                kind: labels.kind,
                process: process.map(|id| self.processes.name(id).to_owned()),
                provider: labels.name.clone(),
            });
            SeriesId(self.labels.len() - 1)
        })
    }

    /// Label values of a series.
    pub fn labels(&self, id: SeriesId) -> &SeriesLabels {
        &self.labels[id.0]
    }
}

/// The index of its name; beyond the last one: other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ProcessId(usize);

/// Names of processes. They are theirs to choose (`PR_SET_NAME`), so there is a bound to them, and
/// what can't be printed is not.
#[derive(Debug)]
struct Processes {
    max: usize,
    names: Vec<String>,
}

impl Processes {
    fn id(&mut self, name: String) -> ProcessId {
        if name == OTHER {
            return ProcessId(self.max);
        }
        let known = self.names.iter().position(|known| *known == name);
        ProcessId(known.unwrap_or_else(|| {
            if self.names.len() < self.max {
                self.names.push(name);
                self.names.len() - 1
            } else {
                self.max
            }
        }))
    }

    fn name(&self, id: ProcessId) -> &str {
        self.names.get(id.0).map_or(OTHER, String::as_str)
    }
}

/// Where families about sockets are registered, and which labels all of them have.
#[derive(Debug, Clone, Copy)]
pub struct SocketRegistry<'a> {
    /// Where.
    pub registry: &'a Registry,
    /// Whether they have a label for processes.
    pub by_process: bool,
}

impl SocketRegistry<'_> {
    /// The names of the labels, with those of `more` behind them.
    pub fn label_names<'n>(&self, more: &[&'n str]) -> Vec<&'n str> {
        let process = self.by_process.then_some("process");
        let common = ["kind"].into_iter().chain(process).chain(["provider"]);
        common.chain(more.iter().copied()).collect()
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

    fn labels() -> EndpointLabels {
        EndpointLabels { name: "a".to_owned(), kind: EndpointKind::Llm }
    }

    fn process_of(series: &mut AllSeries, endpoint: usize, command: &str) -> String {
        let id = series.of(EndpointId::for_test(endpoint), &labels(), &peers(command));
        series.labels(id).process.clone().expect("told apart")
    }

    #[test]
    fn processes_beyond_the_bound_are_other() {
        let mut series = AllSeries::new(2);
        for (endpoint, command, expected) in [
            (0, "python3", "python3"),
            (0, "node", "node"),
            (0, "curl", "other"),
            (1, "node", "node"),
            (1, "wget", "other"),
            (0, "python3", "python3"),
        ] {
            assert_eq!(process_of(&mut series, endpoint, command), expected, "{command}");
        }
        let [curl, wget] = ["curl", "wget"]
            .map(|command| series.of(EndpointId::for_test(0), &labels(), &peers(command)));
        assert_eq!(curl, wget);
        assert_ne!(curl, series.of(EndpointId::for_test(1), &labels(), &peers("wget")));
    }

    #[test]
    fn a_name_is_made_fit_to_be_shown() {
        let mut series = AllSeries::new(9);
        assert_eq!(process_of(&mut series, 0, "a\nb\u{1b}"), "a_b_");
        // Marks of direction, a joiner of no width, separators, a character without a meaning.
        for c in "\u{202e}\u{2066}\u{200d}\u{feff}\u{2028}\u{2029}\u{e000}\u{fffe}".chars() {
            let name = process_of(&mut series, 0, &format!("a{c}b"));
            assert_eq!(name, "a_b", "{}", c.escape_unicode());
        }
        assert_eq!(process_of(&mut series, 0, "ünï -1.é語"), "ünï -1.é語");
        assert_eq!(process_of(&mut series, 0, ""), "unnamed");
        assert_eq!(process_of(&mut series, 0, "other"), "other");
        let names = ["a_b_", "a_b", "ünï -1.é語", "unnamed"];
        assert_eq!(series.processes.names, names, "other takes no place");
    }

    #[test]
    fn without_processes_there_is_no_label() {
        let mut series = AllSeries::new(0);
        let [one, two] = ["python3", "node"]
            .map(|command| series.of(EndpointId::for_test(0), &labels(), &peers(command)));
        assert_eq!(one, two);
        assert_eq!(series.labels(one).values(), ["llm", "a"]);
        let registry = &Registry::new();
        let names = |by_process| SocketRegistry { registry, by_process }.label_names(&["outcome"]);
        assert_eq!(names(false), ["kind", "provider", "outcome"]);
        assert_eq!(names(true), ["kind", "process", "provider", "outcome"]);
    }
}
