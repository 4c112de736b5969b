//! Calls as the game makes them, spread evenly over time.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use da_server::llm::{LlmClient, LlmConfig, LlmMetrics, Message, Prices, Prompt, Role};
use da_server::metrics::Metrics;
use da_server::provider::{
    AdmissionMetrics, ApiKey, CallReports, HttpConfig, RetryPolicy, http_client,
};
use da_standin::{Delay, Plan, Standin};
use futures_util::StreamExt;
use tokio::runtime::Runtime;
use tokio::time::{sleep_until, timeout};

use super::threads;
use crate::stage::Stage;

pub const CALLS_PER_SECOND: usize = 1_000;
/// Each is busy for two thirds of the time.
const CALLERS: usize = 100;
/// Its provider keeps connections open.
const KEPT: &str = "kept.join.test";
/// Its provider closes them.
const CLOSED: &str = "closed.join.test";
const FIRST_BYTE_MS: f64 = 20.0;
/// Before the first byte.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(10);

/// The providers' names.
pub fn names() -> Vec<String> {
    vec![KEPT.to_owned(), CLOSED.to_owned()]
}

/// How they answer.
pub fn plans() -> Vec<(String, Plan)> {
    let plan = |close| Plan {
        first_byte_ms: Delay::Fixed(FIRST_BYTE_MS),
        between_chunks_ms: Delay::Fixed(5.0),
        chunks: Some(8),
        close,
        ..Plan::default()
    };
    vec![(KEPT.to_owned(), plan(false)), (CLOSED.to_owned(), plan(true))]
}

/// Whoever calls.
pub struct Callers {
    runtime: Runtime,
    kept: LlmClient,
    closed: LlmClient,
    _metrics: Metrics,
}

impl Callers {
    /// Reports to `reports`.
    pub fn new(stage: &Stage, standin: &Standin, reports: CallReports) -> Result<Self> {
        let ca_file = stage.scratch.join("join-ca.pem");
        fs::write(&ca_file, standin.ca_pem())?;
        let http = http_client(&HttpConfig {
            ca_file: Some(ca_file),
            resolve: names().into_iter().map(|name| (name, standin.addr())).collect(),
            ..HttpConfig::default()
        })?;
        let metrics = Metrics::new()?;
        let gates = AdmissionMetrics::register(metrics.registry())?;
        let llm = LlmMetrics::register(metrics.registry(), Prices::with(&[])?)?;
        let client = |name: &str| {
            let mut config = LlmConfig {
                base_url: Some(format!("https://{name}:{}", standin.addr().port())),
                api_key: ApiKey::new("bench"),
                retry: RetryPolicy { max_retries: 0, ..RetryPolicy::default() },
                max_concurrent: CALLERS,
                ..LlmConfig::default()
            };
            // Those that give up are no fault of the provider's.
            config.breaker.failures = 0;
            LlmClient::new(&config, http.clone(), &gates, &llm, Some(reports.clone()))
        };
        let (kept, closed) = (client(KEPT)?, client(CLOSED)?);
        Ok(Self { runtime: threads::runtime("bench-callers")?, kept, closed, _metrics: metrics })
    }

    /// Makes calls for so long, and returns how many.
    pub fn make(&self, during: Duration) -> Result<usize> {
        let calls = during.as_secs() as usize * CALLS_PER_SECOND;
        let begun = Instant::now();
        let (kept, closed) = (Arc::new(self.kept.clone()), Arc::new(self.closed.clone()));
        let caller = |first: usize| {
            let (kept, closed) = (Arc::clone(&kept), Arc::clone(&closed));
            async move {
                for number in (first..calls).step_by(CALLERS) {
                    let due = Duration::from_secs_f64(number as f64 / CALLS_PER_SECOND as f64);
                    sleep_until((begun + due).into()).await;
                    // Not by the number alone: that is the same for all calls of one caller.
                    match (number + number / CALLERS) % 20 {
                        0 => drop(timeout(GIVEN_UP_AFTER, call(&kept)).await),
                        1 | 2 => call(&closed).await?,
                        _ => call(&kept).await?,
                    }
                }
                anyhow::Ok(())
            }
        };
        let callers: Vec<_> = (0..CALLERS).map(|first| self.runtime.spawn(caller(first))).collect();
        self.runtime.block_on(async {
            for caller in callers {
                caller.await?.context("a call")?;
            }
            anyhow::Ok(calls)
        })
    }
}

/// Asks, and hears the answer to its end.
async fn call(client: &LlmClient) -> Result<()> {
    let prompt = Prompt {
        system: String::new(),
        messages: vec![Message { role: Role::Player, text: "Ahoy".to_owned() }],
        temperature: None,
        max_tokens: 64,
    };
    let mut answer = client.stream(prompt).await?;
    while let Some(piece) = answer.next().await {
        piece?;
    }
    Ok(())
}
