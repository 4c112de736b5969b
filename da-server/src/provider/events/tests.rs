//! Events as the standard has them, whatever the chunks; and a slow, obvious reading to compare
//! random bytes with.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::fuzzing::{Chance, going_on};

const LIMIT: usize = 1024;

fn body(chunks: Vec<Bytes>) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::iter(chunks.into_iter().map(Ok))
}

async fn read_chunks(chunks: Vec<Bytes>) -> Vec<Result<Event, EventError<Infallible>>> {
    events(body(chunks), LIMIT).collect().await
}

/// The events of a body, which must be the same however it is cut in two or into bytes.
async fn read(bytes: &[u8]) -> Vec<(String, String, bool)> {
    let bytes = Bytes::copy_from_slice(bytes);
    let whole = read_chunks(vec![bytes.clone()]).await;
    for at in 0..bytes.len() {
        let cut = vec![bytes.slice(..at), bytes.slice(at..)];
        assert_eq!(read_chunks(cut).await, whole, "cut at {at}");
    }
    let single = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();
    assert_eq!(read_chunks(single).await, whole);
    let events = whole.into_iter().map(|event| event.expect("no error"));
    events.map(|event| (event.name, event.data, event.whole)).collect()
}

fn event(name: &str, data: &str) -> (String, String, bool) {
    (name.to_owned(), data.to_owned(), true)
}

#[tokio::test]
async fn lines_end_with_any_of_three_ends_also_between_chunks() {
    for end in ["\n", "\r", "\r\n"] {
        let lines = ["data: Grüße", "data:  🐙", "", "event: e", "data", "", "", "data:x", ""];
        let bytes = lines.map(|line| format!("{line}{end}")).concat();
        let expected = [event("", "Grüße\n 🐙"), event("e", ""), event("", "x")];
        assert_eq!(read(bytes.as_bytes()).await, expected, "{end:?}");
    }
    let mixed = b"data: 1\r\n\ndata: 2\r\rdata: 3\n\r\n";
    assert_eq!(read(mixed).await, [event("", "1"), event("", "2"), event("", "3")]);
}

#[tokio::test]
async fn a_byte_order_mark_at_the_start_costs_no_event() {
    assert_eq!(read(b"\xef\xbb\xbfdata: 1\n\n").await, [event("", "1")]);
    assert_eq!(read(b"\xef\xbb\xbf\n\ndata: 1\n\n").await, [event("", "1")]);
    let later = b"data: 1\n\n\xef\xbb\xbfdata: 2\n\ndata: 3\n\n";
    assert_eq!(read(later).await, [event("", "1"), event("", "3")], "elsewhere it is a name");
}

#[tokio::test]
async fn comments_unknown_fields_and_events_without_data_are_passed_over() {
    let bytes = b": hello\nid: 7\nretry: 1\ndatum: x\n\nevent: lost\n\n:\n\ndata: 1\n: in it\n\n";
    assert_eq!(read(bytes).await, [event("", "1")]);
}

#[tokio::test]
async fn what_the_end_of_the_body_leaves_without_a_blank_line_is_handed_over_as_such() {
    for end in ["", "\n", "\r\n", "\r"] {
        let bytes = format!("data: 1\n\ndata: 2{end}");
        let expected = [event("", "1"), (String::new(), "2".to_owned(), false)];
        assert_eq!(read(bytes.as_bytes()).await, expected, "{end:?}");
    }
    assert_eq!(read(b"data: 1\n\n: the end").await, [event("", "1")]);
    assert_eq!(read(b"data: 1\n\nevent: e").await, [event("", "1")]);
}

#[tokio::test]
async fn lines_and_events_have_a_limit_and_nothing_follows() {
    let long = |byte: u8, length| vec![byte; length];
    let fits = [b"data: ".to_vec(), long(b'x', LIMIT - 6), b"\n\n".to_vec()].concat();
    assert_eq!(read_chunks(vec![fits.into()]).await[0].as_ref().unwrap().data.len(), LIMIT - 6);
    let line = [long(b':', LIMIT + 1), b"\n\ndata: 1\n\n".to_vec()].concat();
    let data = [b"data\n".repeat(LIMIT + 2), b"\ndata: 1\n\n".to_vec()].concat();
    for bytes in [line, data] {
        let bytes = Bytes::from(bytes);
        assert_eq!(read_chunks(vec![bytes.clone()]).await, [Err(EventError::TooLong)]);
        let cut = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();
        assert_eq!(read_chunks(cut).await, [Err(EventError::TooLong)]);
    }
}

#[tokio::test]
async fn floods_are_read_once_and_others_get_their_turn() {
    const MANY: usize = 1_000_000;
    let floods = [
        vec![Bytes::from(vec![b'\n'; 3 * MANY])],
        vec![Bytes::from(b":\n".repeat(8 * MANY))],
        vec![Bytes::from_static(b"\n"); MANY],
        vec![Bytes::new(); MANY],
        vec![Bytes::from(b"data: 1\n\n".repeat(MANY / 5))],
    ];
    for (index, chunks) in floods.into_iter().enumerate() {
        let (turns, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let ticking = {
            let (turns, over) = (turns.clone(), over.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    turns.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_micros(1)).await;
                }
            })
        };
        let events = events(body(chunks), LIMIT);
        let count = events.fold(0, async |count, event| count + usize::from(event.is_ok())).await;
        let turns = turns.load(Ordering::Relaxed);
        over.store(true, Ordering::Relaxed);
        ticking.await.expect("it ticks");
        assert_eq!(count, if index == 4 { MANY / 5 } else { 0 });
        assert!(turns > 3, "flood {index}: a timer beside it had {turns} turns");
    }
}

/// The same events read slowly: all of the body at once, its line ends made alike, then line by line.
pub(crate) fn obvious(body: &[u8]) -> Vec<Event> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut alike = Vec::new();
    for (at, &byte) in body.iter().enumerate() {
        match byte {
            b'\n' if at > 0 && body[at - 1] == b'\r' => {}
            b'\r' => alike.push(b'\n'),
            byte => alike.push(byte),
        }
    }
    let mut lines: Vec<&[u8]> = alike.split(|byte| *byte == b'\n').collect();
    // What is behind the last end of a line is a line only if there is something.
    lines.pop_if(|last| last.is_empty());
    let (mut events, mut name, mut data) = (Vec::new(), Vec::new(), Vec::<Vec<u8>>::new());
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                let data = lossy(&data.join(&b'\n'));
                events.push(Event { name: lossy(&name), data, whole: true });
            }
            (name, data) = (Vec::new(), Vec::new());
            continue;
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) if line.get(colon + 1) == Some(&b' ') => {
                (&line[..colon], &line[colon + 2..])
            }
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        match field {
            b"data" => data.push(value.to_vec()),
            b"event" => name = value.to_vec(),
            _ => {}
        }
    }
    if !data.is_empty() {
        events.push(Event { name: lossy(&name), data: lossy(&data.join(&b'\n')), whole: false });
    }
    events
}

#[tokio::test]
async fn random_bytes_in_random_chunks_are_read_as_the_obvious_reading_has_them() {
    const WORDS: [&[u8]; 16] = [
        b"data:",
        b"data: ",
        b"data",
        b"event: e",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b": comment",
        b"id: 1",
        b"x",
        b" ",
        "é🐙".as_bytes(),
        b"\xef\xbb\xbf",
        b"\xff",
        b":",
    ];
    let (mut chance, going_on) = (Chance::new(), going_on(0.15));
    let mut bodies = 0;
    while going_on() {
        let words = chance.below(40);
        let bytes = (0..words).flat_map(|_| chance.one_of(&WORDS).to_vec()).collect();
        let bytes = chance.mutated(bytes);
        let chunks = chance.cut(&bytes);
        let read: Result<Vec<_>, _> = read_chunks(chunks.clone()).await.into_iter().collect();
        assert_eq!(
            read.expect("no error"),
            obvious(&bytes),
            "{:?} as {chunks:?}",
            Bytes::from(bytes)
        );
        bodies += 1;
    }
    println!("{bodies} bodies");
    assert!(bodies > 0);
}
