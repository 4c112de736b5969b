//! A call as two other clocks have it: the stand-in's log, all of which is within the call, and the
//! test's own, which is around it. What a metric says must lie between the two. A busy machine moves
//! them apart; it can't make a right metric leave them.

use da_standin::{Event, LogEntry, now_ns};
use futures_util::StreamExt;

use crate::bench::{Bench, Llm, Tts, prompt};
use crate::tts::speech;

/// What came, and when: by the test's clock once it was in hand, by the log before it was written.
pub struct Pieces {
    /// Before the call was made, or once its request was there.
    asked_ns: u64,
    /// With what was new of the content, in bytes. Not empty.
    content: Vec<(u64, usize)>,
    /// Its end came, which is no content.
    ended_ns: u64,
}

/// Both sides of one call.
pub struct Clocks {
    inner: Pieces,
    outer: Pieces,
}

/// A moment of a call, in nanoseconds from its beginning.
type Moment<'a> = &'a dyn Fn(&Pieces) -> u64;

impl Pieces {
    pub fn first(&self) -> u64 {
        self.content[0].0 - self.asked_ns
    }

    pub fn last(&self) -> u64 {
        self.content[self.content.len() - 1].0 - self.asked_ns
    }

    pub fn end(&self) -> u64 {
        self.ended_ns - self.asked_ns
    }

    /// When somebody hears the byte at `place`, who plays everything as it comes.
    pub fn heard(&self, place: usize, bytes_per_second: usize) -> u64 {
        let lasts = |bytes: usize| (bytes * 1_000_000_000 / bytes_per_second) as u64;
        let (mut played_ns, mut before) = (0, 0);
        for &(came_ns, bytes) in &self.content {
            let begins_ns = came_ns.max(played_ns);
            if place < before + bytes {
                return begins_ns + lasts(place - before) - self.asked_ns;
            }
            played_ns = begins_ns + lasts(bytes);
            before += bytes;
        }
        panic!("no byte {place} in {before}")
    }
}

impl Clocks {
    /// That so many seconds end at this moment of the call.
    #[track_caller]
    pub fn hold(&self, what: &str, seconds: f64, moment: Moment) {
        self.hold_between(what, seconds, moment, moment);
    }

    /// That they end after one moment and before another.
    #[track_caller]
    pub fn hold_between(&self, what: &str, seconds: f64, after: Moment, before: Moment) {
        assert_between(what, seconds, after(&self.inner), before(&self.outer));
    }

    /// That they are from the first content to the end.
    #[track_caller]
    pub fn hold_from_first_to_end(&self, what: &str, seconds: f64) {
        let Self { inner, outer } = self;
        let least = inner.ended_ns.saturating_sub(outer.content[0].0);
        assert_between(what, seconds, least, outer.ended_ns - inner.content[0].0);
    }
}

#[track_caller]
fn assert_between(what: &str, seconds: f64, least_ns: u64, most_ns: u64) {
    let [least, most] = [least_ns, most_ns].map(|ns| ns as f64 / 1e9);
    println!("{what}: {seconds:.6} s, by the other clocks {least:.6} to {most:.6} s");
    // Sums of seconds are no whole nanoseconds.
    assert!((least - 1e-6..=most + 1e-6).contains(&seconds), "{what}: {seconds} s");
}

/// Has a line spoken.
pub async fn listen(bench: &Bench, tts: &Tts) -> Clocks {
    let asked_ns = now_ns();
    let mut stream = tts.client.speak(speech()).await.expect("audio");
    let mut content = Vec::new();
    while let Some(piece) = stream.next().await {
        content.push((now_ns(), piece.expect("audio").len()));
    }
    let outer = Pieces { asked_ns, content, ended_ns: now_ns() };
    Clocks { inner: logged(&bench.log().await), outer }
}

/// Has a question answered.
pub async fn ask(bench: &Bench, llm: &Llm) -> Clocks {
    let asked_ns = now_ns();
    let mut content = Vec::new();
    let note = |text: &str| content.push((now_ns(), text.len()));
    llm.ask_noting(prompt(), note).await.expect("an answer");
    let outer = Pieces { asked_ns, content, ended_ns: now_ns() };
    Clocks { inner: logged(&bench.log().await), outer }
}

/// The last exchange of a log.
fn logged(log: &[LogEntry]) -> Pieces {
    let last = log.iter().rev().find_map(|entry| match entry.event {
        Event::Request { exchange, .. } => Some((entry.t_ns, exchange)),
        _ => None,
    });
    let (asked_ns, last) = last.expect("a request");
    let (mut content, mut ended_ns) = (Vec::new(), 0);
    for entry in log {
        match entry.event {
            Event::Chunk { exchange, bytes, token, .. } if exchange == last => {
                if token {
                    content.push((entry.t_ns, bytes as usize));
                }
                ended_ns = entry.t_ns;
            }
            _ => {}
        }
    }
    Pieces { asked_ns, content, ended_ns }
}
