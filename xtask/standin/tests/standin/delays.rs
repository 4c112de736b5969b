//! Delays are kept, and the log agrees with what a client on the same clock sees.
//!
//! A delay must never be shorter than planned. How much longer it is depends on the machine's
//! scheduling, so the best of several must only not be as long as two of them: a delay that is waited
//! for twice, or from the wrong moment on, shows in all.

use da_standin::{Delay, Event, LogEntry, Options, Plan, TlsMode, now_ns};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    ANTHROPIC, Scene, Seen, connect, connect_any, exchange, requests, response_starts, soon, times,
    tls_config, wire_request,
};

const MS: u64 = 1_000_000;
fn assert_kept(taken_ns: &[u64], planned_ns: u64, what: &str) {
    let (least, most) = (taken_ns.iter().min().unwrap(), taken_ns.iter().max().unwrap());
    assert!(*least >= planned_ns, "{what}: {least} ns is less than {planned_ns} ns");
    assert!(*least < 2 * planned_ns, "{what}: {least} to {most} ns for {planned_ns} ns");
}

async fn exchanges(scene: &Scene, count: usize) -> (Vec<Seen>, Vec<LogEntry>) {
    let mut stream = connect_any(&scene.standin).await;
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(exchange(&mut stream, &wire_request("")).await);
    }
    (seen, scene.log().await)
}

#[tokio::test]
async fn first_byte_delay_is_kept_and_both_clocks_agree() {
    for delay_ms in [20, 60] {
        let first_byte_ms = Delay::Fixed(delay_ms as f64);
        let scene = Scene::with_plan(Plan { first_byte_ms, ..Plan::default() }).await;
        let (seen, log) = exchanges(&scene, 10).await;
        let (requests, starts) = (requests(&log), response_starts(&log));
        assert_eq!((requests.len(), starts.len()), (10, 10));
        let taken: Vec<u64> =
            requests.iter().zip(&starts).map(|(from, (to, _))| to - from).collect();
        assert_kept(&taken, delay_ms * MS, "first byte, by the log");

        let mut at_client = Vec::new();
        for ((seen, request_ns), (start_ns, _)) in seen.iter().zip(&requests).zip(&starts) {
            let first_read_ns = seen.reads[0].0;
            // Cause before effect, across the socket and back.
            assert!(seen.before_write_ns < *request_ns && *start_ns < first_read_ns);
            at_client.push(first_read_ns - seen.before_write_ns);
        }
        assert_kept(&at_client, delay_ms * MS, "first byte, at the client");
    }
}

#[tokio::test]
async fn chunks_are_spaced_as_planned_and_read_one_by_one() {
    const APART_MS: u64 = 100;
    let between_chunks_ms = Delay::Fixed(APART_MS as f64);
    let scene =
        Scene::with_plan(Plan { between_chunks_ms, chunks: Some(20), ..Plan::default() }).await;
    let (seen, log) = exchanges(&scene, 1).await;
    let chunks = times(&log, |event| match event {
        Event::Chunk { bytes, .. } => Some(*bytes),
        _ => None,
    });
    // The start of the message and of the block, twenty deltas, and the end.
    assert_eq!(chunks.len(), 23);
    let gaps: Vec<u64> = chunks.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert_kept(&gaps, APART_MS * MS, "between chunks");
    // Every chunk is a write of its own: it is there before the next one is written. If two were
    // written at once it would be every other one at most; a client that is held up misses a few.
    let reads = &seen[0].reads;
    let in_time = chunks.iter().zip(chunks.windows(2)).filter(|((_, bytes), pair)| {
        let between = |(t_ns, _): &&(u64, Vec<u8>)| pair[0].0 < *t_ns && *t_ns < pair[1].0;
        let arrived: usize = reads.iter().filter(between).map(|(_, read)| read.len()).sum();
        arrived as u64 >= *bytes
    });
    let in_time = in_time.count();
    assert!(in_time > gaps.len() * 6 / 10, "{in_time} of {} chunks came in time", gaps.len());
}

#[tokio::test]
async fn random_delays_differ_and_keep_their_bounds() {
    let first_byte_ms = Delay::Uniform(20.0, 120.0);
    let scene = Scene::with_plan(Plan { first_byte_ms, ..Plan::default() }).await;
    let (_, log) = exchanges(&scene, 25).await;
    let starts = response_starts(&log);
    let mut taken: Vec<u64> =
        requests(&log).iter().zip(&starts).map(|(from, (to, _))| to - from).collect();
    taken.sort();
    assert!(taken[0] >= 20 * MS && taken[0] < 60 * MS, "{taken:?}");
    assert!(taken[24] - taken[0] > 30 * MS, "{taken:?}");
}

/// From accept() to the client's hello read, and from there to the server's answer.
async fn handshakes(scene: &Scene, count: usize) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let config = tls_config(&scene.standin, &versions);
    let mut at_client = Vec::new();
    for _ in 0..count {
        let before_ns = now_ns();
        let mut stream = connect(&scene.standin, ANTHROPIC, config.clone()).await.unwrap();
        at_client.push(now_ns() - before_ns);
        exchange(&mut stream, &wire_request("")).await;
    }
    let log = scene.log().await;
    let (mut to_hello, mut to_answer) = (Vec::new(), Vec::new());
    for conn in 1..=count as u64 {
        let mine: Vec<&LogEntry> = log.iter().filter(|entry| entry.conn == conn).collect();
        let [accept, hello, done, ..] = mine[..] else { panic!("{mine:?}") };
        assert_eq!((&accept.event, &hello.event), (&Event::Accept, &Event::ClientHello));
        let Event::HandshakeDone { answered_ns, .. } = done.event else { panic!("{done:?}") };
        to_hello.push(hello.t_ns - accept.t_ns);
        to_answer.push(answered_ns - hello.t_ns);
    }
    (to_hello, to_answer, at_client)
}

#[tokio::test]
async fn handshake_delay_is_between_the_hellos() {
    for tls in [TlsMode::V12, TlsMode::V13] {
        let plan = Plan { handshake_ms: Delay::Fixed(100.0), ..Plan::default() };
        let scene = Scene::start(Options { plan, tls, ..Options::default() }).await;
        let (_, to_answer, at_client) = handshakes(&scene, 10).await;
        // Cryptography comes after the wait and before the write: some milliseconds in a debug build.
        assert_kept(&to_answer, 100 * MS, "handshake");
        assert!(at_client.iter().zip(&to_answer).all(|(outer, inner)| outer > inner));
    }
}

#[tokio::test]
async fn accept_delay_is_before_the_first_read() {
    let scene = Scene::with_plan(Plan { accept_ms: Delay::Fixed(100.0), ..Plan::default() }).await;
    let (to_hello, _, _) = handshakes(&scene, 10).await;
    assert_kept(&to_hello, 100 * MS, "accept");
}

#[tokio::test]
async fn plain_http_keeps_its_delays_too() {
    let plan = Plan { first_byte_ms: Delay::Fixed(50.0), ..Plan::default() };
    let scene = Scene::start(Options { plan, tls: TlsMode::Plain, ..Options::default() }).await;
    let mut stream = TcpStream::connect(scene.standin.addr()).await.unwrap();
    for _ in 0..10 {
        stream.write_all(&wire_request("")).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n0\r\n\r\n") {
            assert!(soon(stream.read_buf(&mut answer)).await.unwrap() > 0);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
    let log = scene.log().await;
    let starts = response_starts(&log);
    let taken: Vec<u64> =
        requests(&log).iter().zip(&starts).map(|(from, (to, _))| to - from).collect();
    assert_kept(&taken, 50 * MS, "first byte");
    assert!(log.iter().all(|entry| !matches!(entry.event, Event::ClientHello)));
    assert_eq!(log.last().unwrap().name.as_deref(), Some(ANTHROPIC), "the name in Host");
}
