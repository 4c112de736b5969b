//! The matrix: how many first bytes were right, doubtful and wrong, by server and by delay.

use std::collections::BTreeMap;

use super::cell::{Cell, DELAYS_MS, Server};

/// What became of a first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judgement {
    Right,
    Doubtful,
    Wrong,
}

/// Counts of each.
type Counts = [usize; 3];

/// All that were judged.
#[derive(Debug, Default)]
pub struct Table {
    by_delay: BTreeMap<(Server, u64), Counts>,
    by_kind: BTreeMap<String, Counts>,
    all: Counts,
}

impl Table {
    /// Adds one.
    pub fn add(&mut self, cell: &Cell, judgement: Judgement) {
        let size = |bytes: usize| if bytes > 1_000 { "large" } else { "small" };
        let kinds = [
            format!("{:?} asks", cell.asker),
            format!("{} request", size(cell.request_bytes)),
            format!("{} answer", size(cell.answer_bytes)),
            (if cell.one_write { "with Finished" } else { "after Finished" }).to_owned(),
        ];
        for kind in kinds {
            self.by_kind.entry(kind).or_default()[judgement as usize] += 1;
        }
        self.by_delay.entry((cell.server, cell.delay_ms)).or_default()[judgement as usize] += 1;
        self.all[judgement as usize] += 1;
    }

    /// How many were judged.
    pub fn all(&self) -> usize {
        self.all.iter().sum()
    }

    /// How many so.
    pub fn count(&self, judgement: Judgement) -> usize {
        self.all[judgement as usize]
    }

    /// How many of that server's so.
    pub fn of(&self, server: Server, judgement: Judgement) -> usize {
        let of_server = self.by_delay.iter().filter(|((of, _), _)| *of == server);
        of_server.map(|(_, counts)| counts[judgement as usize]).sum()
    }

    /// Prints it: right/doubtful/wrong.
    pub fn print(&self) {
        let shown = |[right, doubtful, wrong]: Counts| format!("{right}/{doubtful}/{wrong}");
        print!("{:<16}", "server, tickets");
        DELAYS_MS.iter().for_each(|delay_ms| print!(" {:>10}", format!("{delay_ms} ms")));
        println!("   (right/doubtful/wrong)");
        let mut last = None;
        for ((server, _), counts) in &self.by_delay {
            if last != Some(server) {
                print!("{}{server:<16}", if last.is_some() { "\n" } else { "" });
                last = Some(server);
            }
            print!(" {:>10}", shown(*counts));
        }
        println!();
        self.by_kind
            .iter()
            .for_each(|(kind, counts)| println!("{kind:<16} {:>10}", shown(*counts)));
        println!("{:<16} {:>10}", "all", shown(self.all));
    }
}
