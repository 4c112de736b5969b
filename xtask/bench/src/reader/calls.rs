//! The collector's CPU time and memory at a thousand provider calls a second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use da_standin::{Options, Standin, TlsMode};
use rustls::ClientConfig;

use crate::client::{Client, tls13};
use crate::collector::{Collector, Settings, losses, program_seconds};
use crate::figure::{Figure, Unit};
use crate::stage::Stage;
use crate::usage::Usage;

const HOST: &str = "calls.bench.test";
const CALLS_PER_SECOND: usize = 1_000;
const CLIENTS: usize = 200;
const CALLS_PER_CONNECTION: usize = 10;
/// 20 chunks in about 100 ms: half of the clients are busy at any time.
const PLAN: &str = r#"{"first_byte_ms":5,"between_chunks_ms":5,"chunks":20}"#;

/// Where the clients go.
struct Provider {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

/// Measures it, with and without the syscall tier.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let mut figures = with_syscalls(stage, false, "calls")?;
    figures.extend(with_syscalls(stage, true, "calls, system calls timed")?);
    Ok(figures)
}

fn with_syscalls(stage: &Stage, are_timed: bool, name: &str) -> Result<Vec<Figure>> {
    let settings = Settings::default().watch(HOST).syscalls(are_timed);
    let collector = Collector::start(stage, &settings)?;
    let idle = Usage::of(collector.id())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let standin = runtime.block_on(Standin::start(Options {
        names: vec![HOST.to_owned()],
        tls: TlsMode::V13,
        log_capacity: Some(1),
        ..Options::default()
    }))?;
    let provider = Provider { address: standin.addr(), config: tls13(standin.ca_pem())? };

    let begun = Instant::now();
    let before = (Usage::of(collector.id())?, program_seconds(&collector.scrape()?));
    let calls = call(&provider, stage.pace(3, 20) * CALLS_PER_SECOND)?;
    let after = (Usage::of(collector.id())?, program_seconds(&collector.scrape()?));
    let seconds = begun.elapsed().as_secs_f64();
    runtime.block_on(standin.stop());

    let family = "digital_actors_socket_exchanges_total";
    let scrape = collector.scrape_until(|scrape| scrape.total(family, &[]) >= calls as f64)?;
    let counted = scrape.total(family, &[]);
    ensure!(counted == calls as f64, "{counted} of {calls} calls were counted");
    ensure!(losses(&scrape) == 0.0, "events were lost");
    let percent = |seconds_used: f64| seconds_used / seconds * 100.0;
    let used = percent(after.0.cpu_seconds - before.0.cpu_seconds);
    let what = |of: &str| format!("{name}: {of}");
    Ok(vec![
        Figure::one(what("made"), Unit::PerSecond, calls as f64 / seconds),
        Figure::one(what("CPU of the process"), Unit::CpuPercent, used),
        Figure::one(what("CPU of the programs"), Unit::CpuPercent, percent(after.1 - before.1)),
        Figure::one(what("resident memory, before"), Unit::Bytes, idle.resident_bytes),
        Figure::one(what("resident memory, after"), Unit::Bytes, after.0.resident_bytes),
    ])
}

/// Makes so many calls, spread evenly over time; returns how many it made.
fn call(provider: &Provider, calls: usize) -> Result<usize> {
    let begun = Instant::now();
    let client = |first: usize| -> Result<usize> {
        let mut connection = None;
        let mut made = 0;
        for number in (first..calls).step_by(CLIENTS) {
            let due = begun + Duration::from_secs_f64(number as f64 / CALLS_PER_SECOND as f64);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let mut open = match connection.take() {
                Some(open) => open,
                None => Client::connect(provider.address, HOST, Some(&provider.config))?,
            };
            open.exchange(PLAN)?;
            made += 1;
            if made % CALLS_PER_CONNECTION != 0 {
                connection = Some(open);
            }
        }
        Ok(made)
    };
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|first| scope.spawn(move || client(first))).collect();
        let made = clients.into_iter().map(|client| {
            client.join().map_err(|_| anyhow!("a client panicked"))?.context("a client")
        });
        made.sum()
    })
}
