//! What the character is to say next: bounded, by priority, and with a pause between lines.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The order in the queue, and the minimum pause after the previous line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// May wait for a quiet moment; only the newest is kept.
    Background,
    /// Part of the scene.
    Normal,
    /// What the player did.
    Urgent,
    /// What the player said.
    Critical,
}

impl Priority {
    /// Every value, for pre-creating series.
    pub const ALL: [Self; 4] = [Self::Background, Self::Normal, Self::Urgent, Self::Critical];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Normal => "normal",
            Self::Urgent => "urgent",
            Self::Critical => "critical",
        }
    }

    /// The least pause after the line before.
    pub fn gap(self) -> Duration {
        match self {
            Self::Critical => Duration::from_millis(300),
            Self::Urgent => Duration::from_secs(1),
            Self::Normal => Duration::from_secs(2),
            Self::Background => Duration::from_secs(3),
        }
    }
}

/// Something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// The order in the queue.
    pub priority: Priority,
    /// What to say.
    pub item: T,
}

/// The result of [`Queue::push`].
#[derive(Debug, PartialEq, Eq)]
pub struct Pushed<T> {
    /// Dropped because the new one matters more or replaces them.
    pub superseded: Vec<T>,
    /// The new one, if the queue is full.
    pub rejected: Option<T>,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// Say this now.
    Say(Entry<T>),
    /// Say nothing before this time.
    Wait(Instant),
    /// The queue is empty.
    Idle,
}

/// The waiting lines, most important first and otherwise oldest first.
#[derive(Debug)]
pub struct Queue<T> {
    entries: VecDeque<Entry<T>>,
    capacity: usize,
}

impl<T> Queue<T> {
    /// Holds `capacity` entries at most.
    pub fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::with_capacity(capacity), capacity }
    }

    /// Adds `entry`. It supersedes a waiting entry of [`Priority::Background`] or
    /// [`Priority::Critical`] of its own priority, since the newest is the one that counts there;
    /// and from [`Priority::Normal`] on every entry of lower priority.
    pub fn push(&mut self, entry: Entry<T>) -> Pushed<T> {
        let new = entry.priority;
        let newest_counts = matches!(new, Priority::Background | Priority::Critical);
        let superseded = self.remove(|waiting| {
            let replaced = newest_counts && waiting.priority == new;
            let lower = new >= Priority::Normal && waiting.priority < new;
            replaced || lower
        });
        if self.entries.len() >= self.capacity {
            return Pushed { superseded, rejected: Some(entry.item) };
        }
        let behind = self.entries.iter().position(|waiting| waiting.priority < new);
        self.entries.insert(behind.unwrap_or(self.entries.len()), entry);
        Pushed { superseded, rejected: None }
    }

    /// What to say `now`, if the last line ended at `ended`.
    pub fn next(&mut self, now: Instant, ended: Option<Instant>) -> Next<T> {
        let Some(first) = self.entries.front() else { return Next::Idle };
        match ended.map(|ended| ended + first.priority.gap()) {
            Some(earliest) if earliest > now => Next::Wait(earliest),
            _ => self.entries.pop_front().map_or(Next::Idle, Next::Say),
        }
    }

    /// Whether such an entry waits.
    pub fn any(&self, which: impl Fn(&Entry<T>) -> bool) -> bool {
        self.entries.iter().any(which)
    }

    /// Empties the queue.
    pub fn clear(&mut self) -> Vec<T> {
        self.remove(|_| true)
    }

    fn remove(&mut self, which: impl Fn(&Entry<T>) -> bool) -> Vec<T> {
        let (removed, kept) = self.entries.drain(..).partition(|entry| which(entry));
        self.entries = kept;
        removed.into_iter().map(|entry: Entry<T>| entry.item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(priority: Priority, item: &str) -> Entry<&str> {
        Entry { priority, item }
    }

    fn order(queue: &mut Queue<&'static str>) -> Vec<&'static str> {
        queue.clear()
    }

    #[test]
    fn the_more_important_comes_first_and_equals_keep_their_order() {
        let mut queue = Queue::new(8);
        for (priority, item) in [
            (Priority::Urgent, "urgent 1"),
            (Priority::Urgent, "urgent 2"),
            (Priority::Normal, "normal"),
            (Priority::Background, "background"),
        ] {
            assert!(queue.push(entry(priority, item)).superseded.is_empty(), "{item}");
        }
        assert_eq!(order(&mut queue), ["urgent 1", "urgent 2", "normal", "background"]);
    }

    #[test]
    fn a_newer_line_drops_what_is_lower() {
        let mut queue = Queue::new(8);
        queue.push(entry(Priority::Urgent, "stays"));
        queue.push(entry(Priority::Normal, "goes"));
        queue.push(entry(Priority::Background, "goes too"));
        let pushed = queue.push(entry(Priority::Urgent, "new"));
        assert_eq!(pushed.superseded, ["goes", "goes too"]);
        assert_eq!(order(&mut queue), ["stays", "new"]);
    }

    #[test]
    fn only_the_newest_of_the_players_lines_and_of_the_background_is_kept() {
        for priority in [Priority::Critical, Priority::Background] {
            let mut queue = Queue::new(8);
            queue.push(entry(priority, "old"));
            assert_eq!(queue.push(entry(priority, "new")).superseded, ["old"]);
            assert_eq!(order(&mut queue), ["new"]);
        }
    }

    #[test]
    fn a_background_line_drops_nothing_else() {
        let mut queue = Queue::new(8);
        queue.push(entry(Priority::Normal, "normal"));
        assert!(queue.push(entry(Priority::Background, "background")).superseded.is_empty());
    }

    #[test]
    fn a_full_queue_rejects_the_new_one() {
        let mut queue = Queue::new(1);
        queue.push(entry(Priority::Urgent, "first"));
        assert_eq!(queue.push(entry(Priority::Urgent, "second")).rejected, Some("second"));
        assert_eq!(order(&mut queue), ["first"]);
    }

    #[test]
    fn a_line_waits_for_the_gap_of_its_own_priority() {
        let ended = Instant::now();
        for (priority, gap_ms) in [
            (Priority::Critical, 300),
            (Priority::Urgent, 1000),
            (Priority::Normal, 2000),
            (Priority::Background, 3000),
        ] {
            let earliest = ended + Duration::from_millis(gap_ms);
            let mut queue = Queue::new(1);
            queue.push(entry(priority, "line"));
            let early = earliest - Duration::from_millis(1);
            assert_eq!(queue.next(early, Some(ended)), Next::Wait(earliest));
            assert!(matches!(queue.next(earliest, Some(ended)), Next::Say(_)));
            assert_eq!(queue.next(earliest, Some(ended)), Next::Idle);
        }
    }

    #[test]
    fn the_first_line_waits_for_nothing() {
        let mut queue = Queue::new(1);
        queue.push(entry(Priority::Background, "line"));
        assert!(matches!(queue.next(Instant::now(), None), Next::Say(_)));
    }
}
