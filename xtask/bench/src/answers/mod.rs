//! What it takes to read answers without measure, and whether anybody else waits meanwhile.

mod health;
mod player;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use da_standin::{Decoder, Flood, FloodServer};
use serde_json::{Value, json};

use crate::figure::{Bar, Figure, Unit};
use crate::players::database::Database;
use crate::players::server::Server;
use crate::stage::Stage;
use health::Health;

/// What was done.
pub const DONE: &str = "A server on loopback sends each body as fast as it is taken. The client of the game \
    reads it to its end on one thread, in a process of its own; *plain copy* is the same HTTP client, which \
    reads the same body and throws it away. CPU is that of the thread, memory what it had allocated at most \
    beyond what it began with, both divided by the bytes of the body. Then a running server is made to ask \
    for the same body by a player (of the text it takes what an answer may have, and then ends the call), and \
    `/health` is asked over and over until the turn is over.";

/// `/health` answers within so much.
const HEALTH_BAR: Bar = Bar::AtMost(100.0);

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for decoder in Decoder::ALL {
        let provider = FloodServer::start()?;
        for flood in Flood::ALL {
            provider.set(decoder, flood, 1);
            figures.extend(read(stage, &provider, decoder, flood)?);
        }
        figures.extend(play(stage, &provider, decoder)?);
    }
    Ok(figures)
}

/// What one reading took.
struct Taken {
    cpu_ns: f64,
    peak_bytes: f64,
}

fn read(
    stage: &Stage,
    provider: &FloodServer,
    decoder: Decoder,
    flood: Flood,
) -> Result<Vec<Figure>> {
    let bytes = flood.body(decoder, 1).len() as f64;
    let (mut reading_ns, mut copying_ns, mut times_copy) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reading_peak, mut copying_peak) = (0.0_f64, 0.0_f64);
    for _ in 0..stage.pace(2, 7) {
        let reading = ask(stage, provider, decoder, flood, false)?;
        let copying = ask(stage, provider, decoder, flood, true)?;
        reading_ns.push(reading.cpu_ns / bytes);
        copying_ns.push(copying.cpu_ns / bytes);
        times_copy.push(reading.cpu_ns / copying.cpu_ns);
        reading_peak = reading_peak.max(reading.peak_bytes / bytes);
        copying_peak = copying_peak.max(copying.peak_bytes / bytes);
    }
    let what = |of: &str| format!("{}, {}: {of}", decoder.as_str(), flood.as_str());
    let cpu = |of, rounds: &[f64]| Figure::of_rounds(what(of), Unit::NanosecondsPerByte, rounds);
    Ok(vec![
        cpu("CPU", &reading_ns),
        cpu("CPU of a plain copy", &copying_ns),
        Figure::of_rounds(what("CPU, × plain copy"), Unit::Ratio, &times_copy),
        Figure::one(what("memory, bytes per byte"), Unit::Ratio, reading_peak),
        Figure::one(what("memory of a plain copy"), Unit::Ratio, copying_peak),
    ])
}

fn ask(
    stage: &Stage,
    provider: &FloodServer,
    decoder: Decoder,
    flood: Flood,
    copies: bool,
) -> Result<Taken> {
    let mut command = Command::new(&stage.asker);
    command.arg(provider.address().to_string()).arg(decoder.as_str()).env_clear();
    // One is over before it can be measured.
    let times = if flood == Flood::Ordinary { 500 } else { 1 };
    command.arg("--times").arg(times.to_string());
    if copies {
        command.arg("--copy");
    }
    let output = command.output().context("cannot start da-bench-asker")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "da-bench-asker ended with {}: {said}", output.status);
    let printed = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = printed.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [cpu_ns, peak_bytes, times] = numbers[..] else { anyhow::bail!("it printed {printed}") };
    Ok(Taken { cpu_ns: cpu_ns / times, peak_bytes })
}

fn play(stage: &Stage, provider: &FloodServer, decoder: Decoder) -> Result<Vec<Figure>> {
    let database = Database::sqlite(stage)?;
    let server = Server::with(stage, config(provider, decoder), &database)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut figures = Vec::new();
    for flood in Flood::ALL {
        provider.set(decoder, flood, 1);
        let mut slowest_ms = Vec::new();
        for _ in 0..stage.pace(1, 5) {
            let health = Health::watch(server.address());
            runtime.block_on(player::ask_once(server.address()))?;
            slowest_ms.push(health.slowest_ms()?);
        }
        let what = format!("{}, {}: slowest /health meanwhile", decoder.as_str(), flood.as_str());
        let figure = Figure::of_rounds(what, Unit::Milliseconds, &slowest_ms);
        figures.push(figure.with_bar(HEALTH_BAR));
    }
    Ok(figures)
}

/// A game whose model and voice are that provider, which is asked again however often it fails.
fn config(provider: &FloodServer, decoder: Decoder) -> Value {
    let base = format!("http://{}", provider.address());
    let (protocol, base_url) = match decoder {
        Decoder::OpenAi => ("openai", format!("{base}/v1")),
        Decoder::Google => ("google", format!("{base}/v1")),
        Decoder::Anthropic | Decoder::Audio => ("anthropic", base.clone()),
    };
    let retry = json!({"max_retries": 0});
    let breaker = json!({"failures": 0});
    json!({
        "llm": {"protocol": protocol, "base_url": base_url, "retry": retry, "breaker": breaker},
        "tts": {"base_url": base, "retry": retry, "breaker": breaker},
        "kernel": {"enabled": false},
    })
}
