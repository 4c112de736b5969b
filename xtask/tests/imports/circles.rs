//! The circles among siblings: modules of one parent that import one another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::PathBuf;

use crate::modules::{Id, Modules};

/// One module's use of another, and where it is first written.
#[derive(Debug, Clone)]
pub struct Edge {
    pub from: String,
    pub to: String,
    pub file: PathBuf,
    pub line: usize,
    pub path: String,
}

/// Who uses whom among the children of one module: by user and used.
#[derive(Debug, Default)]
pub struct Siblings {
    pub edges: BTreeMap<(String, String), Edge>,
}

/// The children of each module that has some, by its path.
pub fn siblings(modules: &Modules) -> BTreeMap<String, Siblings> {
    let mut by_parent: BTreeMap<Id, Siblings> = BTreeMap::new();
    for (id, module) in modules.all.iter().enumerate() {
        let imports = module.source.imports.iter().map(|import| &import.path);
        for path in imports.chain(&module.source.paths) {
            let Some(target) = modules.lead(id, &path.segments) else { continue };
            let (from, to) = (modules.ancestry(id), modules.ancestry(target));
            let shared = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
            let (Some(child), Some(used)) = (from.get(shared), to.get(shared)) else { continue };
            let edge = Edge {
                from: modules.all[*child].name.clone(),
                to: modules.all[*used].name.clone(),
                file: module.file.clone(),
                line: path.line,
                path: path.segments.join("::"),
            };
            let siblings = by_parent.entry(from[shared - 1]).or_default();
            siblings.edges.entry((edge.from.clone(), edge.to.clone())).or_insert(edge);
        }
    }
    let path = |parent: Id| {
        let line = modules.ancestry(parent);
        line.iter().map(|id| modules.all[*id].name.as_str()).collect::<Vec<_>>().join("::")
    };
    by_parent.into_iter().map(|(parent, siblings)| (path(parent), siblings)).collect()
}

impl Siblings {
    /// The same without these imports.
    pub fn without(&self, imports: &[(&str, &str)]) -> Self {
        let is_out = |from: &str, to: &str| imports.contains(&(from, to));
        let edges = self.edges.iter().filter(|((from, to), _)| !is_out(from, to));
        Self { edges: edges.map(|(key, edge)| (key.clone(), edge.clone())).collect() }
    }

    /// The shortest circle through each edge that is on one, each circle once.
    pub fn circles(&self) -> Vec<Circle> {
        let mut circles = BTreeMap::new();
        for (from, to) in self.edges.keys() {
            if let Some(mut steps) = self.way(to, from) {
                steps.insert(0, self.edges[&(from.clone(), to.clone())].clone());
                let members: BTreeSet<String> =
                    steps.iter().map(|edge| edge.from.clone()).collect();
                circles.entry(members).or_insert(Circle(steps));
            }
        }
        circles.into_values().collect()
    }

    /// The shortest way from one to the other.
    fn way(&self, from: &str, to: &str) -> Option<Vec<Edge>> {
        let mut came_by: BTreeMap<&str, &Edge> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            if at == to {
                let back =
                    std::iter::successors(came_by.get(to), |edge| came_by.get(edge.from.as_str()));
                let mut steps: Vec<Edge> = back.map(|edge| (*edge).clone()).collect();
                steps.reverse();
                return Some(steps);
            }
            for edge in self.edges.values().filter(|edge| edge.from == at) {
                if edge.to != from && !came_by.contains_key(edge.to.as_str()) {
                    came_by.insert(&edge.to, edge);
                    queue.push_back(&edge.to);
                }
            }
        }
        None
    }
}

/// Modules that import one another in turn.
#[derive(Debug)]
pub struct Circle(Vec<Edge>);

impl fmt::Display for Circle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|edge| writeln!(out, "    {edge}"))
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, file, line, path } = self;
        write!(out, "{from} uses {to}: {}:{line}: {path}", file.display())
    }
}
