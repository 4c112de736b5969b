//! A stand-in, an HTTP client that trusts it and finds it under the providers' real names, and
//! clients on top.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use da_server::llm::{
    Completion, LlmClient, LlmConfig, LlmError, LlmEvent, LlmMetrics, LlmProtocol, LlmStream,
    Message, PriceConfig, Prices, Prompt, Role,
};
use da_server::provider::{ApiKey, HttpConfig, RetryPolicy, http_client};
use da_server::tts::{TtsClient, TtsConfig, TtsMetrics, TtsProtocol};
use da_standin::{
    CloseReason, DEFAULT_NAMES, Event, Fault, LogEntry, Options, Plan, Standin, TlsMode,
};
use futures_util::StreamExt;

use crate::readings::Readings;

/// Every protocol that the black-box tests of `llm` go through.
pub const PROVIDERS: [LlmProtocol; 3] =
    [LlmProtocol::Anthropic, LlmProtocol::OpenAi, LlmProtocol::Google];

/// Every protocol that the black-box tests of `tts` go through.
pub const VOICES: [TtsProtocol; 2] = [TtsProtocol::ElevenLabs, TtsProtocol::OpenAi];

/// A format of bare samples that a voice has, and how many of its bytes are a second.
pub fn samples(provider: TtsProtocol) -> (&'static str, usize) {
    match provider {
        TtsProtocol::ElevenLabs => ("pcm_16000", 32_000),
        TtsProtocol::OpenAi => ("pcm_24000", 48_000),
    }
}

/// The name given to models in these tests; no server knows it, which is the point.
pub const MODEL: &str = "test-model";

pub struct Bench {
    pub standin: Standin,
    pub http: reqwest::Client,
}

impl Bench {
    pub async fn start() -> Self {
        Self::with_tls(TlsMode::Both).await
    }

    pub async fn with_tls(tls: TlsMode) -> Self {
        let options = Options { tls, ..Options::default() };
        let standin = Standin::start(options).await.expect("a stand-in");
        let http = http(standin.addr(), Some(standin.ca_pem()));
        Self { standin, http }
    }

    /// A stand-in whose first `times` requests fail.
    pub async fn failing(fault: Fault, times: u64) -> Self {
        let bench = Self::start().await;
        bench.fail(fault, times);
        bench
    }

    /// From now on the first `times` requests fail.
    pub fn fail(&self, fault: Fault, times: u64) {
        self.standin.set_plan(Plan {
            fault: Some(fault),
            fault_count: Some(times),
            ..Plan::default()
        });
    }

    /// The first request is refused by a rate limit with these headers.
    pub async fn limiting(headers: &[(&str, &str)]) -> Self {
        let bench = Self::start().await;
        bench.standin.set_plan(Plan {
            fault: Some(Fault::RateLimited { retry_after: None, retry_after_ms: None }),
            fault_count: Some(1),
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            ..Plan::default()
        });
        bench
    }

    pub fn llm(&self, protocol: LlmProtocol) -> Llm {
        self.llm_with(protocol, |_| {})
    }

    /// A client with metrics of its own, after `adjust` had its say.
    pub fn llm_with(&self, protocol: LlmProtocol, adjust: impl FnOnce(&mut LlmConfig)) -> Llm {
        let mut config = LlmConfig {
            protocol,
            model: Some(MODEL.to_owned()),
            api_key: ApiKey::new("test-key"),
            retry: quick_retries(),
            ..LlmConfig::default()
        };
        adjust(&mut config);
        let readings = Readings::new();
        let metrics = LlmMetrics::register(&readings.registry, prices()).expect("metrics");
        let client = LlmClient::new(&config, self.http.clone(), &readings.gates(), &metrics, None)
            .expect("a client");
        Llm { client, readings }
    }

    pub fn tts(&self, provider: TtsProtocol) -> Tts {
        self.tts_with(provider, |_| {})
    }

    /// A client with metrics of its own, after `adjust` had its say.
    pub fn tts_with(&self, provider: TtsProtocol, adjust: impl FnOnce(&mut TtsConfig)) -> Tts {
        let mut config = TtsConfig { retry: quick_retries(), ..voice(provider) };
        adjust(&mut config);
        let readings = Readings::new();
        let metrics = TtsMetrics::register(&readings.registry).expect("metrics");
        let client = TtsClient::new(&config, self.http.clone(), &readings.gates(), &metrics, None)
            .expect("a client");
        Tts { client, readings }
    }

    /// The stand-in's log once every request is over.
    pub async fn log(&self) -> Vec<LogEntry> {
        let idle = tokio::time::timeout(Duration::from_secs(10), self.standin.idle()).await;
        idle.expect("the stand-in is still answering");
        self.standin.log()
    }

    /// Waits until the stand-in's log has this.
    pub async fn logged(&self, wanted: impl Fn(&Event) -> bool) {
        let logged = async {
            while count(&self.standin.log(), &wanted) == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let logged = tokio::time::timeout(Duration::from_secs(20), logged).await;
        logged.unwrap_or_else(|_| panic!("it is not in the log: {:?}", self.standin.log()));
    }

    /// Waits until the stand-in has seen the client go, without having said everything.
    pub async fn assert_hung_up(&self) {
        self.logged(|event| matches!(event, Event::Close { reason: CloseReason::Client, .. }))
            .await;
        let log = self.log().await;
        assert_eq!(count(&log, |event| matches!(event, Event::ResponseEnd { .. })), 0);
    }

    pub async fn connections(&self) -> usize {
        count(&self.log().await, |event| *event == Event::Accept)
    }

    pub async fn requests(&self) -> usize {
        count(&self.log().await, |event| matches!(event, Event::Request { .. }))
    }
}

pub fn count(log: &[LogEntry], wanted: impl Fn(&Event) -> bool) -> usize {
    log.iter().filter(|entry| wanted(&entry.event)).count()
}

/// The times at which something happened.
pub fn times_ns(log: &[LogEntry], wanted: impl Fn(&Event) -> bool) -> Vec<u64> {
    log.iter().filter(|entry| wanted(&entry.event)).map(|entry| entry.t_ns).collect()
}

/// A client that finds the providers' names at `address`.
pub fn http(address: SocketAddr, ca_pem: Option<&str>) -> reqwest::Client {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(ca_pem.unwrap_or_default().as_bytes()).expect("written");
    let config = HttpConfig {
        ca_file: ca_pem.map(|_| file.path().to_owned()),
        resolve: DEFAULT_NAMES.map(|name| (name.to_owned(), address)).into(),
        ..HttpConfig::default()
    };
    http_client(&config).expect("a client")
}

/// The built-in prices, and one for [`MODEL`], whoever has it.
pub fn prices() -> Prices {
    let price = |protocol: LlmProtocol| PriceConfig {
        provider: protocol.provider_name().to_owned(),
        model: MODEL.to_owned(),
        input: 3.0,
        output: 15.0,
        cache_read: Some(0.25),
        cache_write: Some(4.0),
    };
    Prices::with(&PROVIDERS.map(price)).expect("prices")
}

/// A voice whose audio lasts so long as its bytes tell.
pub fn voice(protocol: TtsProtocol) -> TtsConfig {
    let (voice, format) = match protocol {
        TtsProtocol::ElevenLabs => (None, None),
        // The stand-in's; the protocol has no name for it.
        TtsProtocol::OpenAi => (Some("nova"), Some("mp3_24000_48")),
    };
    TtsConfig {
        protocol,
        voice: voice.map(str::to_owned),
        output_format: format.map(str::to_owned),
        api_key: ApiKey::new("test-key"),
        ..TtsConfig::default()
    }
}

fn quick_retries() -> RetryPolicy {
    RetryPolicy { initial_backoff: Duration::from_millis(10), ..RetryPolicy::default() }
}

pub struct Llm {
    pub client: LlmClient,
    pub readings: Readings,
}

impl Llm {
    pub async fn stream(&self) -> Result<LlmStream, LlmError> {
        self.client.stream(prompt()).await
    }

    /// The whole answer, or what there was of it and why there is no more.
    pub async fn ask(&self) -> Result<(String, Completion), (String, LlmError)> {
        self.ask_for(prompt()).await
    }

    pub async fn ask_for(
        &self,
        prompt: Prompt,
    ) -> Result<(String, Completion), (String, LlmError)> {
        self.ask_noting(prompt, |_| {}).await
    }

    /// The same; each piece of text is told of when it is there.
    pub async fn ask_noting(
        &self,
        prompt: Prompt,
        mut note: impl FnMut(&str),
    ) -> Result<(String, Completion), (String, LlmError)> {
        let mut text = String::new();
        let mut stream = match self.client.stream(prompt).await {
            Ok(stream) => stream,
            Err(error) => return Err((text, error)),
        };
        while let Some(event) = stream.next().await {
            match event {
                Ok(LlmEvent::Text(more)) => {
                    note(&more);
                    text.push_str(&more);
                }
                Ok(LlmEvent::Instead(other)) => {
                    note(&other);
                    text = other;
                }
                Ok(LlmEvent::Complete) => {}
                Ok(LlmEvent::Done(completion)) => return Ok((text, completion)),
                Err(error) => return Err((text, error)),
            }
        }
        panic!("the stream ended without an end");
    }
}

pub struct Tts {
    pub client: TtsClient,
    pub readings: Readings,
}

pub fn prompt() -> Prompt {
    Prompt {
        system: "You are the engineer of a submarine.".to_owned(),
        messages: vec![Message { role: Role::Player, text: "Report!".to_owned() }],
        temperature: None,
        max_tokens: 800,
    }
}
