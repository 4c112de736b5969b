//! A kernel view and the calls that are joined with it.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use da_server::calls::{Call, Calls, CallsConfig, KernelView};
use da_server::kernel::{EndpointConfig, Kernel, KernelConfig, Unlisted, Watch};
use da_server::llm::{
    LlmClient, LlmConfig, LlmMetrics, LlmProtocol, Message, Prices, Prompt, Role,
};
use da_server::metrics::Metrics;
use da_server::provider::{AdmissionMetrics, ApiKey, HttpConfig, http_client};
use da_server::tts::{Speech, TtsClient, TtsConfig, TtsMetrics};
use da_standin::Standin;
use da_testkit::scrape::Scrape;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::lab::{hooks, turn};
use crate::turns::Beside;
use da_testkit::programs::skip;

/// How long an attempt may take to its first content: longer than a busy machine makes it wait.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Everything that stands between a call and what is known of it.
pub struct Desk {
    metrics: Metrics,
    pub calls: Calls,
    gates: AdmissionMetrics,
    llm: LlmMetrics,
    tts: TtsMetrics,
    shutdown: CancellationToken,
    reader: Option<JoinHandle<()>>,
    _turn: Arc<Beside>,
}

impl Desk {
    /// Loads the programs and watches `endpoints`; `None` where this machine can't.
    pub fn open(kernel: &KernelConfig, endpoints: &[EndpointConfig]) -> Option<Self> {
        Self::late(kernel, endpoints, CallsConfig::default().grace, |_| {})
    }

    /// The same, with `unread` done after the programs are attached and before anybody reads what
    /// they report. The kernel's half of a call is waited for as long as `grace`.
    pub fn late(
        kernel: &KernelConfig,
        endpoints: &[EndpointConfig],
        grace: Duration,
        unread: impl FnOnce(&Self),
    ) -> Option<Self> {
        let turn = turn(endpoints);
        let kernel = Kernel::load(&KernelConfig { hooks: hooks(), ..kernel.clone() });
        if let Some(why) = kernel.unavailable() {
            skip(&why.to_string());
            return None;
        }
        let metrics = Metrics::new().expect("metrics");
        let registry = metrics.registry();
        let (sender, observations) = sync_channel(1 << 14);
        let view = KernelView {
            observations,
            settlements: kernel.settlements(),
            under_way: kernel.under_way(),
        };
        let settings = CallsConfig { latest: 100_000, grace, ..CallsConfig::default() };
        let calls = Calls::start(&settings, registry, Some(view)).expect("calls");
        let gates = AdmissionMetrics::register(registry).expect("metrics");
        let llm = LlmMetrics::register(registry, Prices::with(&[]).expect("prices"));
        let llm = llm.expect("metrics");
        let tts = TtsMetrics::register(registry).expect("metrics");
        let shutdown = CancellationToken::new();
        let (metrics, reader, _turn) = (metrics.clone(), None, turn);
        let mut desk = Self { metrics, calls, gates, llm, tts, shutdown, reader, _turn };
        unread(&desk);
        let watch = Watch {
            endpoints: endpoints.to_vec(),
            unlisted: Unlisted::Drop,
            max_processes: 0,
            resolved: Vec::new(),
        };
        let reader = kernel.start(watch, &desk.metrics, Some(sender), desk.shutdown.clone());
        desk.reader = reader.expect("the reader starts");
        Some(desk)
    }

    /// A client of the model at `base_url`, without retries and breaker, through `http`.
    pub fn client(&self, http: &reqwest::Client, base_url: &str) -> LlmClient {
        self.client_of(http, base_url, "test-model")
    }

    /// The same of a model of that name, by which its calls can be told.
    pub fn client_of(&self, http: &reqwest::Client, base_url: &str, model: &str) -> LlmClient {
        let mut config = LlmConfig {
            protocol: LlmProtocol::Anthropic,
            model: Some(model.to_owned()),
            base_url: Some(base_url.to_owned()),
            api_key: ApiKey::new("test-key"),
            ..LlmConfig::default()
        };
        config.timeouts.first_content = PATIENCE;
        self.client_with(http, config)
    }

    /// A client of the model as configured, but without retries and breaker.
    pub fn client_with(&self, http: &reqwest::Client, mut config: LlmConfig) -> LlmClient {
        config.retry.max_retries = 0;
        config.breaker.failures = 0;
        let reports = Some(self.calls.reports.clone());
        let client = LlmClient::new(&config, http.clone(), &self.gates, &self.llm, reports);
        client.expect("a client")
    }

    /// The same of a voice.
    pub fn voice(&self, http: &reqwest::Client, base_url: &str) -> TtsClient {
        let mut config = TtsConfig {
            base_url: Some(base_url.to_owned()),
            api_key: ApiKey::new("test-key"),
            ..TtsConfig::default()
        };
        config.retry.max_retries = 0;
        config.breaker.failures = 0;
        let reports = Some(self.calls.reports.clone());
        TtsClient::new(&config, http.clone(), &self.gates, &self.tts, reports).expect("a client")
    }

    /// The exposition.
    pub fn scrape(&self) -> Scrape {
        Scrape::parse(&self.metrics.expose().expect("encodes"))
    }

    /// Waits until so many calls are known, and returns them, oldest first.
    pub fn known(&self, count: usize) -> Vec<Arc<Call>> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut calls = self.calls.history.latest();
            if calls.len() >= count || Instant::now() > deadline {
                calls.sort_by_key(|call| call.id);
                return calls;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.shutdown.cancel();
        let ended = self.reader.take().is_none_or(|reader| reader.join().is_ok());
        assert!(ended || std::thread::panicking(), "the reader panicked");
    }
}

/// An HTTP client as the server has one, which trusts the stand-in and finds `names` there.
pub fn http(standin: &Standin, names: &[&str]) -> reqwest::Client {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(standin.ca_pem().as_bytes()).expect("written");
    let at = |name: &&str| ((*name).to_owned(), standin.addr());
    http_client(&HttpConfig {
        ca_file: Some(file.path().to_owned()),
        resolve: names.iter().map(at).collect(),
        ..HttpConfig::default()
    })
    .expect("a client")
}

/// The URL of a stand-in under a name.
pub fn url(name: &str, at: SocketAddr) -> String {
    format!("https://{name}:{}", at.port())
}

/// Asks and hears the answer to its end, however it ends.
pub async fn ask(client: &LlmClient) {
    let prompt = Prompt {
        system: String::new(),
        messages: vec![Message { role: Role::Player, text: "Well?".to_owned() }],
        temperature: None,
        max_tokens: 100,
    };
    if let Ok(mut answer) = client.stream(prompt).await {
        while answer.next().await.is_some() {}
    }
}

/// Has a line spoken and hears it to its end.
pub async fn speak(voice: &TtsClient) {
    hear(voice, async {}).await;
}

/// The same, with a `pause` after the first of it, unless there was nothing to hear.
pub async fn hear<T>(voice: &TtsClient, pause: impl Future<Output = T>) -> Option<T> {
    let [text, character, voice_id] = ["Well, well.", "c", "v"].map(str::to_owned);
    let speech = Speech { text, said_before: String::new(), character, voice_id };
    let mut audio = voice.speak(speech).await.ok()?;
    audio.next().await?.ok()?;
    let paused = pause.await;
    while audio.next().await.is_some() {}
    Some(paused)
}
