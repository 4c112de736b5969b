//! Calls that share a connection: HTTP/2, spoken by nginx.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use da_server::calls::{Attempt, Call, Join, Phase, Reuse};
use da_server::llm::LlmClient;
use da_server::provider::{HttpConfig, http_client};
use da_standin::{Delay, Options, Plan, Standin, TlsMode};
use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::desk::{Desk, ask, url};
use super::provider::one_worker;
use super::served::Served;
use crate::clients::nginx::{self, Nginx};
use crate::clients::relay::Relay;
use crate::lab::{config, endpoint_at};
use da_testkit::programs::skip;

const NAME: &str = "shared.calls.test";
/// How long an answer takes.
const ANSWER_MS: (f64, f64) = (20.0, 120.0);
/// Streams of one connection at the same time, and how often.
const STREAMS: usize = 6;
const ROUNDS: usize = 4;

/// nginx before a stand-in; a client that speaks HTTP/2 with it, and one that speaks HTTP/1.1.
struct Bench {
    standin: Standin,
    nginx: Option<Nginx>,
    by_stream: LlmClient,
    by_connection: LlmClient,
    players: Runtime,
    known: usize,
    // Ends last: the clients report to it.
    desk: Desk,
    _standins: Runtime,
    _folder: TempDir,
}

impl Bench {
    fn open() -> Option<Self> {
        if Command::new("nginx").arg("-v").output().is_err() {
            skip("no nginx: `cargo xtask setup` installs it");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let relay = Relay::start(nginx::socket(folder.path(), true, true));
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, relay.port));
        let desk = Desk::open(&config(), &[endpoint_at(NAME, NAME, at)])?;
        let (standins, players) = (one_worker(), one_worker());
        let options = Options { tls: TlsMode::Plain, ..Options::default() };
        let standin = standins.block_on(Standin::start(options)).expect("a stand-in");
        let own = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).expect("a certificate");
        let ca_file = folder.path().join("nginx.pem");
        fs::write(&ca_file, own.cert.pem()).expect("written");
        fs::write(folder.path().join("key.pem"), own.signing_key.serialize_pem()).expect("written");
        let nginx = Some(Nginx::start(folder.path(), standin.addr().port(), 1_000));
        let client = |http2: bool| {
            let http = http_client(&HttpConfig {
                ca_file: Some(ca_file.clone()),
                resolve: [(NAME.to_owned(), at)].into(),
                http2,
                ..HttpConfig::default()
            });
            desk.client_of(&http.expect("a client"), &url(NAME, at), protocol(http2))
        };
        let (by_stream, by_connection) = (client(true), client(false));
        let (known, _standins, _folder) = (0, standins, folder);
        Some(Self {
            standin,
            nginx,
            by_stream,
            by_connection,
            players,
            known,
            desk,
            _standins,
            _folder,
        })
    }

    /// Calls at the same time.
    fn at_once(&self, clients: &[&LlmClient]) {
        let each = clients.iter().map(|client| {
            let client = (*client).clone();
            self.players.spawn(async move { ask(&client).await })
        });
        let ended = self.players.block_on(join_all(each));
        assert!(ended.iter().all(Result::is_ok), "no panic");
    }

    /// The calls that have been made since the last time, so many.
    fn latest(&mut self, count: usize) -> Vec<Arc<Call>> {
        let calls = self.desk.known(self.known + count);
        assert_eq!(calls.len(), self.known + count);
        self.known += count;
        calls[calls.len() - count..].to_vec()
    }
}

/// What the calls of a client speak, and their model is named after.
fn protocol(http2: bool) -> &'static str {
    if http2 { "HTTP/2.0" } else { "HTTP/1.1" }
}

/// Nothing in it may be the kernel's: not even what is certain of the connection as a whole, which is
/// this attempt's no more than another's.
fn is_of_the_application_alone(attempt: &Attempt) {
    assert_ne!(attempt.join, Join::Joined, "{attempt:#?}");
    for phase in [Phase::Tls, Phase::Pickup] {
        assert_eq!(attempt.phases.ns(phase), 0, "{phase:?}: {attempt:#?}");
    }
}

#[test]
fn what_streams_share_is_marked_and_taken_for_none_of_them() {
    let Some(mut bench) = Bench::open() else { return };
    let (from_ms, to_ms) = ANSWER_MS;
    let first_byte_ms = Delay::Uniform(from_ms, to_ms);
    bench.standin.set_plan(Plan { first_byte_ms, chunks: Some(3), ..Plan::default() });
    // One at first, so that the others find its connection.
    bench.at_once(&[&bench.by_stream, &bench.by_connection]);
    for _ in 0..ROUNDS {
        let mut clients = vec![&bench.by_stream; STREAMS];
        clients.push(&bench.by_connection);
        bench.at_once(&clients);
    }
    let calls = bench.latest(2 + ROUNDS * (STREAMS + 1));
    let served = Served::start(&bench.desk.calls.history);
    let mut own = Vec::new();
    for call in &calls {
        let [attempt] = &call.attempts[..] else { panic!("{call:#?}") };
        assert_eq!(call.outcome.as_str(), "success", "{call:#?}");
        assert_eq!(attempt.http.as_deref(), call.model.as_deref());
        assert!(attempt.after_ns + attempt.duration_ns() <= call.duration_ns, "{call:#?}");
        let waited_ms = attempt.phases.ns(Phase::Wait) as f64 / 1e6;
        assert!(waited_ms >= from_ms, "{waited_ms} ms: {attempt:#?}");
        let shown = &served.call(call.id)["attempts"][0];
        if call.model.as_deref() == Some(protocol(true)) {
            is_of_the_application_alone(attempt);
            assert_eq!((shown["join"].as_str(), shown["socket"].is_null()), (Some("shared"), true));
        } else {
            // The other streams' arrivals and requests are none of its own.
            assert_eq!(attempt.join, Join::Joined, "{attempt:#?}");
            let socket = attempt.socket.as_ref().expect("joined");
            own.push((socket.local, socket.exchange));
        }
    }
    let connections: BTreeSet<_> = own.iter().map(|(local, _)| local).collect();
    assert_eq!(connections.len(), 1, "HTTP/1.1, one call after the other");
    let numbers: Vec<_> = own.iter().map(|(_, number)| number.expect("asked")).collect();
    assert_eq!(numbers, (1..=ROUNDS as u64 + 1).collect::<Vec<_>>());

    let scrape = bench.desk.scrape();
    let joins =
        |result| scrape.get(&format!("call_join_total{{kind=\"llm\",result=\"{result}\"}}"));
    let shared = (1 + ROUNDS * STREAMS) as f64;
    assert_eq!((joins("shared"), joins("joined")), (shared, 1.0 + ROUNDS as f64));
    assert_eq!(scrape.sum("call_join_total"), calls.len() as f64);
}

#[test]
fn streams_without_an_answer_are_given_nothing_of_their_connection() {
    let Some(mut bench) = Bench::open() else { return };
    bench.at_once(&[&bench.by_stream]);
    // The player leaves, and then the connection breaks under all that are left.
    bench.standin.set_plan(Plan { first_byte_ms: Delay::Fixed(1_000.0), ..Plan::default() });
    let leaves = bench.by_stream.clone();
    let left = bench.players.spawn(async move {
        tokio::time::timeout(Duration::from_millis(50), ask(&leaves)).await.is_err()
    });
    assert!(bench.players.block_on(left).expect("no panic"), "it was answered");
    let nginx = bench.nginx.take();
    let breaks = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(nginx);
    });
    bench.at_once(&[&bench.by_stream; STREAMS]);
    breaks.join().expect("no panic");
    let calls = bench.latest(2 + STREAMS);
    for call in &calls[1..] {
        assert_ne!(call.outcome.as_str(), "success", "{call:#?}");
        assert_eq!(call.attempts[0].reuse, Reuse::Reused, "{call:#?}");
        is_of_the_application_alone(&call.attempts[0]);
    }
}
