//! How many events one core turns into measurements: the reader's own path, fed from memory.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use da_ebpf_common::arrival::{FirstArrivals, MAX_FIRST_ARRIVALS};
use da_ebpf_common::connection::{Closed, Phase, flags};
use da_ebpf_common::event::{ConnectionId, Header, Kind};
use da_ebpf_common::exchange::Exchange;
use da_ebpf_common::histogram::{Samples, bucket};
use da_ebpf_common::peers::Peers;
use da_ebpf_common::tls::{FirstBytes, Handshake};
use da_server::kernel::Replay;
use da_server::metrics::Metrics;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::figure::{Figure, Unit};
use crate::stage::Stage;
use crate::watch::one_host;
use da_testkit::exposition::Exposition;

const HOST: &str = "decode.bench.test";
const CONNECTIONS: u64 = 100;
const EXCHANGES_PER_CONNECTION: u64 = 10;
const MS: u64 = 1_000_000;
/// `AF_INET`, include/linux/socket.h.
const AF_INET: u16 = 2;

/// Events as they lie in the ring buffer, one behind the other.
#[derive(Default)]
struct Recording {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (what, is_streamed) in [("answers of 20 chunks", true), ("answers of one chunk", false)] {
        let mut recording = Recording::default();
        let hello = client_hello()?;
        for number in 0..CONNECTIONS {
            recording.connection(number, &hello, is_streamed);
        }
        let (mut events, mut exchanges) = (Vec::new(), Vec::new());
        for _ in 0..stage.pace(5, 20) {
            let seconds = replay(&recording, stage.pace(20, 100))?;
            events.push(recording.ends.len() as f64 / seconds);
            exchanges.push((CONNECTIONS * EXCHANGES_PER_CONNECTION) as f64 / seconds);
        }
        let what = |of: &str| format!("decode, {what}: {of}");
        figures.push(Figure::of_rounds(what("events"), Unit::PerSecond, &events));
        figures.push(Figure::of_rounds(what("exchanges"), Unit::PerSecond, &exchanges));
    }
    Ok(figures)
}

/// Seconds that one pass of the recording takes, over so many.
fn replay(recording: &Recording, passes: usize) -> Result<f64> {
    let metrics = Metrics::new()?;
    let mut replay = Replay::new(&one_host(HOST), metrics.registry())?;
    let begun = Instant::now();
    for _ in 0..passes {
        let mut from = 0;
        for end in &recording.ends {
            replay.take(&recording.bytes[from..*end]);
            replay.observations().for_each(drop);
            from = *end;
        }
    }
    let seconds = begun.elapsed().as_secs_f64() / passes as f64;
    let counted = Exposition(metrics.expose()?).total("digital_actors_socket_exchanges_total", &[]);
    let made = (CONNECTIONS * EXCHANGES_PER_CONNECTION) as f64 * passes as f64;
    ensure!(counted == made, "{counted} of {made} exchanges were counted");
    Ok(seconds)
}

impl Recording {
    /// One connection over TLS 1.3 from its birth to its end.
    fn connection(&mut self, number: u64, hello: &[u8], is_streamed: bool) {
        let id = ConnectionId { sock: 0xffff_8880_0000_0000 + number * 4096, born_ns: 1 + number };
        let mut peers = Peers::new_zeroed();
        peers.family = AF_INET;
        (peers.local_port, peers.remote_port) = (40_000 + number as u16, 443);
        for address in [&mut peers.local_address, &mut peers.remote_address] {
            address[..4].copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
        }
        let flags = flags::TLS | flags::TLS13;

        let first = FirstBytes {
            header: header::<FirstBytes>(id, Kind::FirstBytes),
            peers,
            established_ns: id.born_ns + 10 * MS,
            sent_ns: id.born_ns + 11 * MS,
            flags,
            captured_bytes: hello.len() as u32,
            sent_bytes: hello.len() as u64,
        };
        self.add(&[first.as_bytes(), hello].concat());
        let mut shaken = Handshake::new_zeroed();
        shaken.header = header::<Handshake>(id, Kind::Handshake);
        (shaken.hello_ns, shaken.done_ns) = (first.sent_ns, first.sent_ns + 20 * MS);
        shaken.flags = flags;
        self.add(shaken.as_bytes());
        for exchange in 1..=EXCHANGES_PER_CONNECTION {
            self.exchange(id, exchange, shaken.done_ns + exchange * 500 * MS, is_streamed);
        }
        let mut closed = Closed::new_zeroed();
        closed.header = header::<Closed>(id, Kind::Closed);
        (closed.peers, closed.flags, closed.phase) = (peers, flags, Phase::Open as u32);
        closed.established_ns = first.established_ns;
        closed.closed_ns = shaken.done_ns + 10_000 * MS;
        self.add(closed.as_bytes());
    }

    /// A request, 200 ms later its answer.
    fn exchange(&mut self, id: ConnectionId, number: u64, at_ns: u64, is_streamed: bool) {
        let chunks = if is_streamed { 20 } else { 1 };
        let first_ns = at_ns + 200 * MS;
        let mut arrivals = FirstArrivals::new_zeroed();
        arrivals.header = header::<FirstArrivals>(id, Kind::FirstArrivals);
        arrivals.count = chunks.min(MAX_FIRST_ARRIVALS as u64);
        for (chunk, arrival) in arrivals.arrivals.iter_mut().enumerate() {
            (arrival.at_ns, arrival.bytes) = (first_ns + chunk as u64 * 12 * MS, 200);
        }
        if is_streamed {
            self.add(arrivals.as_bytes());
            self.samples(id, Kind::Gaps, chunks - arrivals.count, 12 * MS);
            self.samples(id, Kind::Pickups, chunks - 1, MS / 20);
        }
        let mut exchange = Exchange::new_zeroed();
        exchange.header = header::<Exchange>(id, Kind::Exchange);
        exchange.number = number;
        (exchange.request_first_ns, exchange.request_last_ns) = (at_ns, at_ns);
        (exchange.request_bytes, exchange.flags) = (1_000, flags::TLS | flags::TLS13);
        (exchange.response.first_ns, exchange.response.arrivals) = (first_ns, chunks);
        exchange.response.last_ns = first_ns + (chunks - 1) * 12 * MS;
        exchange.response.bytes = chunks * 200;
        (exchange.pickups, exchange.first_read_ns) = (chunks, first_ns + MS / 20);
        exchange.first_pickup_ns = MS / 20;
        exchange.sent_bytes = number * 1_000;
        exchange.received_bytes = number * chunks * 200;
        exchange.srtt_eighths_us = 8 * 10_000;
        self.add(exchange.as_bytes());
    }

    fn samples(&mut self, id: ConnectionId, kind: Kind, count: u64, sample_ns: u64) {
        let mut samples = Samples::new_zeroed();
        samples.header = header::<Samples>(id, kind);
        samples.histogram.sum_ns = count * sample_ns;
        samples.histogram.buckets[bucket(sample_ns)] = count as u32;
        self.add(samples.as_bytes());
    }

    fn add(&mut self, event: &[u8]) {
        self.bytes.extend_from_slice(event);
        self.ends.push(self.bytes.len());
    }
}

fn header<T: IntoBytes + Immutable>(connection: ConnectionId, kind: Kind) -> Header {
    Header { connection, kind: kind as u32, length: size_of::<T>() as u32 }
}

/// What a client really sends first.
fn client_hello() -> Result<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), HOST.try_into()?)?;
    let mut hello = Vec::new();
    client.write_tls(&mut hello).context("no ClientHello")?;
    Ok(hello)
}
