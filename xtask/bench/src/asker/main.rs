//! Asks a provider as the server does, or only copies what it answers, and says what that took: the
//! benchmark `answers` starts it once for each, so that nothing of one is in the figures of another.
//!
//! It prints three numbers: the CPU time in ns, the bytes of memory that were in use at most beyond those
//! in use before, and how often it was asked for.

mod allocations;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use da_server::llm::{
    LlmClient, LlmConfig, LlmMetrics, LlmProtocol, Message, Prices, Prompt, Role,
};
use da_server::metrics::Registry;
use da_server::provider::{AdmissionMetrics, ApiKey, BreakerConfig, HttpConfig, http_client};
use da_server::tts::{Speech, TtsClient, TtsConfig, TtsMetrics};
use futures_util::StreamExt;
use rustix::time::{ClockId, clock_gettime};

/// So many tokens have room for every flood: all of it is read.
const MAX_TOKENS: u32 = 4_000_000;

#[derive(Parser)]
struct Arguments {
    /// Where the provider is
    address: SocketAddr,
    /// How it is asked: anthropic, openai or audio
    decoder: String,
    /// Only reads the body, and throws it away
    #[arg(long)]
    copy: bool,
    /// One time after the other
    #[arg(long, default_value_t = 1)]
    times: u32,
}

enum Asker {
    Llm(LlmClient),
    Tts(TtsClient),
    Copy(reqwest::Client, String),
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    // All of the client is on this thread, whose time and memory are measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asker = Asker::new(arguments)?;
    let before = (cpu_ns(), allocations::start());
    runtime.block_on(async {
        for _ in 0..arguments.times {
            asker.ask().await?;
        }
        anyhow::Ok(())
    })?;
    let (used_ns, peak) = (cpu_ns() - before.0, allocations::peak_beyond(before.1));
    println!("{used_ns} {peak} {}", arguments.times);
    Ok(())
}

impl Asker {
    fn new(arguments: &Arguments) -> Result<Self> {
        let http = http_client(&HttpConfig::default())?;
        let base = format!("http://{}", arguments.address);
        let of_protocol = |protocol: LlmProtocol, path: &str| {
            let base_url = Some(format!("{base}{path}"));
            LlmConfig { protocol, base_url, ..LlmConfig::default() }
        };
        let (llm, path) = match arguments.decoder.as_str() {
            "anthropic" => (Some(of_protocol(LlmProtocol::Anthropic, "")), "/v1/messages"),
            "openai" => (Some(of_protocol(LlmProtocol::OpenAi, "/v1")), "/v1/chat/completions"),
            "google" => (
                Some(of_protocol(LlmProtocol::Google, "/v1")),
                "/v1/models/gemini-3.5-flash-lite:streamGenerateContent?alt=sse",
            ),
            "audio" => (None, "/v1/text-to-speech/v/stream"),
            other => bail!("{other} is none of the decoders"),
        };
        if arguments.copy {
            return Ok(Self::Copy(http, format!("{base}{path}")));
        }
        let registry = Registry::prefixed("digital_actors")?;
        let gates = AdmissionMetrics::register(&registry)?;
        // A flood is no answer, and is asked for again all the same.
        let breaker = BreakerConfig { failures: 0, ..BreakerConfig::default() };
        Ok(match llm {
            Some(mut config) => {
                config.api_key = ApiKey::new("k");
                config.retry.max_retries = 0;
                config.breaker = breaker;
                let metrics = LlmMetrics::register(&registry, Prices::with(&[])?)?;
                Self::Llm(LlmClient::new(&config, http, &gates, &metrics, None)?)
            }
            None => {
                let mut config = TtsConfig { base_url: Some(base), ..TtsConfig::default() };
                config.api_key = ApiKey::new("k");
                config.retry.max_retries = 0;
                config.breaker = breaker;
                let metrics = TtsMetrics::register(&registry)?;
                Self::Tts(TtsClient::new(&config, http, &gates, &metrics, None)?)
            }
        })
    }

    /// To the end of the answer, whether it is one or not. Nothing of it is kept.
    async fn ask(&self) -> Result<()> {
        match self {
            Self::Llm(client) => {
                let message = Message { role: Role::Player, text: "Report!".to_owned() };
                let prompt = Prompt {
                    system: String::new(),
                    messages: vec![message],
                    temperature: None,
                    max_tokens: MAX_TOKENS,
                };
                if let Ok(mut answer) = client.stream(prompt).await {
                    while answer.next().await.is_some() {}
                }
            }
            Self::Tts(client) => {
                let speech = Speech {
                    character: "any".to_owned(),
                    text: "Report!".to_owned(),
                    said_before: String::new(),
                    voice_id: "v".to_owned(),
                };
                if let Ok(mut audio) = client.speak(speech).await {
                    while audio.next().await.is_some() {}
                }
            }
            Self::Copy(http, url) => {
                let mut response = http.post(url).body("{}").send().await?;
                while response.chunk().await.context("the body")?.is_some() {}
            }
        }
        Ok(())
    }
}

/// What this thread has used.
fn cpu_ns() -> u64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec.cast_unsigned() * 1_000_000_000 + used.tv_nsec.cast_unsigned()
}
