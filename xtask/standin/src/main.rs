//! A stand-in provider by hand.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use da_standin::{DEFAULT_NAMES, Options, Plan, Standin, TlsMode};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Speaks the wire protocols of Anthropic Messages, OpenAI chat completions and speech, Google Gemini and
/// ElevenLabs text to speech over TLS, with delays and faults of your choice, until SIGINT or
/// SIGTERM.
///
/// Prints one line when ready: {"listening":"127.0.0.1:PORT","ca":"PATH or null"}.
#[derive(Parser)]
#[command(version, after_help = PLAN_HELP)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// A further name in the certificate (may be repeated)
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// TLS versions to speak
    #[arg(long, value_enum, default_value_t = TlsMode::Both)]
    tls: TlsMode,
    /// Session tickets sent after a TLS 1.3 handshake
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    tickets: usize,
    /// Make TLS 1.3 clients send a second ClientHello
    #[arg(long)]
    hello_retry: bool,
    /// Connections that the kernel keeps until they are accepted
    #[arg(long, default_value_t = 1024, value_name = "COUNT")]
    backlog: u32,
    /// How requests are answered: JSON, or a file that holds it
    #[arg(long, value_name = "FILE|JSON", value_parser = read_plan)]
    plan: Option<Plan>,
    /// How requests to one name are answered (may be repeated)
    #[arg(long, value_name = "NAME=FILE|JSON", value_parser = read_plan_for)]
    plan_for: Vec<(String, Plan)>,
    /// Chooses the lines, the random delays and the faults
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the CA certificate (PEM) here
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
    /// Write the log (JSON lines) here
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

const PLAN_HELP: &str = r#"Plans, also accepted per request in the header x-standin-plan; all fields are optional:
  accept_ms, handshake_ms, first_byte_ms, between_chunks_ms
        20 | {"uniform":[10,30]} | {"normal":[20,5]} | {"exponential":20}
  chunks, text_characters, text, close (true ends the connection after each response)
  cache_read_tokens, cache_write_tokens, reasoning_tokens (what a language model says it used)
  headers ({"name":"value"}, in place of a response's own)
  leading_silence_ms (of speech, PCM only)
  fault, fault_probability (0 to 1), fault_count (only the first so many requests)
        {"kind":"rate_limited","retry_after":2,"retry_after_ms":1500}   numbers optional
        {"kind":"overloaded"} {"kind":"server_error"} {"kind":"hang"}
        {"kind":"reset_before_first_token","after_head":false}
        {"kind":"reset_after_first_token","after_chunks":1}
        {"kind":"error_event_after_200","after_chunks":0}
        {"kind":"split_utf8"} {"kind":"non_audio_200"} {"kind":"bad_handshake"}
Example: --plan '{"first_byte_ms":{"normal":[300,40]},"between_chunks_ms":25}'"#;

fn read_plan(text: &str) -> Result<Plan> {
    if text.trim_start().starts_with('{') {
        return Plan::from_json(text);
    }
    let json = std::fs::read_to_string(text).with_context(|| format!("cannot read {text}"))?;
    Plan::from_json(&json).with_context(|| format!("in {text}"))
}

fn read_plan_for(text: &str) -> Result<(String, Plan)> {
    let (name, plan) = text.split_once('=').context("must be NAME=FILE or NAME=JSON")?;
    Ok((name.to_owned(), read_plan(plan)?))
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut names = DEFAULT_NAMES.map(String::from).to_vec();
    names.extend(arguments.names);
    // Before the ready line, so that whoever waits for it can end us cleanly at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let standin = Standin::start(Options {
        listen: arguments.listen,
        names,
        tls: arguments.tls,
        tickets: arguments.tickets,
        hello_retry: arguments.hello_retry,
        backlog: arguments.backlog,
        plan: arguments.plan.unwrap_or_default(),
        plans: arguments.plan_for,
        seed: arguments.seed,
        log_file: arguments.log,
        log_capacity: Some(0),
        ca_file: arguments.ca_out.clone(),
    })
    .await?;
    let ready = json!({"listening": standin.addr(), "ca": arguments.ca_out});
    let mut output = std::io::stdout();
    writeln!(output, "{ready}").and_then(|()| output.flush())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    standin.stop().await;
    Ok(())
}
