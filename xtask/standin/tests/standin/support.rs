//! Clients of a stand-in, and questions to its log.

use std::sync::Arc;
use std::time::Duration;

use da_standin::{Event, LogEntry, Options, Plan, Standin, now_ns};
use reqwest::{RequestBuilder, Response};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub const ANTHROPIC: &str = "api.anthropic.com";
pub const OPENAI: &str = "api.openai.com";
pub const GOOGLE: &str = "generativelanguage.googleapis.com";
pub const ELEVENLABS: &str = "api.elevenlabs.io";

/// A prompt and a key that must not be found anywhere afterwards.
pub const SECRET_PROMPT: &str = "tell-nobody-of-the-treasure";
pub const SECRET_KEY: &str = "key-that-nobody-may-read";

/// A running stand-in and an ordinary client of it.
pub struct Scene {
    pub standin: Standin,
    pub client: reqwest::Client,
}

impl Scene {
    pub async fn with_plan(plan: Plan) -> Scene {
        Scene::start(Options { plan, ..Options::default() }).await
    }

    pub async fn start(options: Options) -> Scene {
        let standin = Standin::start(options).await.unwrap();
        let client = client(&standin);
        Scene { standin, client }
    }

    pub fn post(&self, name: &str, path: &str, body: &Value) -> RequestBuilder {
        let url = format!("https://{name}:{}{path}", self.standin.addr().port());
        self.client.post(url).body(body.to_string())
    }

    /// A streaming request that the provider accepts.
    pub fn anthropic(&self) -> RequestBuilder {
        self.anthropic_body(&anthropic_body(true))
    }

    pub fn anthropic_body(&self, body: &Value) -> RequestBuilder {
        self.post(ANTHROPIC, "/v1/messages", body)
            .header("x-api-key", SECRET_KEY)
            .header("anthropic-version", "2023-06-01")
    }

    /// A streaming request that the provider accepts.
    pub fn openai(&self) -> RequestBuilder {
        self.openai_body(&openai_body(true))
    }

    pub fn openai_body(&self, body: &Value) -> RequestBuilder {
        self.post(OPENAI, "/v1/chat/completions", body).bearer_auth(SECRET_KEY)
    }

    /// A streaming request that the provider accepts.
    pub fn google(&self) -> RequestBuilder {
        self.google_method("streamGenerateContent?alt=sse", &google_body())
    }

    pub fn google_method(&self, method: &str, body: &Value) -> RequestBuilder {
        let path = format!("/v1/models/a-model:{method}");
        self.post(GOOGLE, &path, body).header("x-goog-api-key", SECRET_KEY)
    }

    /// A request for a text as speech.
    pub fn speech(&self, text: &str, format: &str) -> RequestBuilder {
        let path = format!("/v1/text-to-speech/voice/stream?output_format={format}");
        self.post(ELEVENLABS, &path, &json!({"text": text})).header("xi-api-key", SECRET_KEY)
    }

    /// The same of the other voice.
    pub fn openai_speech(&self, text: &str, format: &str) -> RequestBuilder {
        let body = json!({
            "model": "gpt-4o-mini-tts", "voice": "nova", "input": text, "response_format": format,
        });
        self.post(OPENAI, "/v1/audio/speech", &body).bearer_auth(SECRET_KEY)
    }

    /// The log once everything that was answered is in it.
    pub async fn log(&self) -> Vec<LogEntry> {
        self.standin.idle().await;
        self.standin.log()
    }

    /// The log once it holds such an event.
    pub async fn log_with(&self, wanted: impl Fn(&Event) -> bool) -> Vec<LogEntry> {
        for _ in 0..500 {
            let log = self.standin.log();
            if log.iter().any(|entry| wanted(&entry.event)) {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the event never came: {:#?}", self.standin.log());
    }
}

pub fn anthropic_body(stream: bool) -> Value {
    json!({
        "model": "a-model",
        "max_tokens": 1000,
        "stream": stream,
        "messages": [{"role": "user", "content": SECRET_PROMPT}],
    })
}

pub fn openai_body(stream: bool) -> Value {
    json!({
        "model": "a-model",
        "stream": stream,
        "messages": [{"role": "user", "content": SECRET_PROMPT}],
    })
}

pub fn google_body() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": SECRET_PROMPT}]}]})
}

pub fn client(standin: &Standin) -> reqwest::Client {
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let config = (*tls_config(standin, &versions)).clone();
    [ANTHROPIC, OPENAI, GOOGLE, ELEVENLABS]
        .into_iter()
        .fold(reqwest::Client::builder(), |builder, name| builder.resolve(name, standin.addr()))
        .tls_backend_preconfigured(config)
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// Trusts the stand-in's authority alone.
pub fn tls_config(
    standin: &Standin,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(standin.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A TLS connection to handle byte by byte.
pub async fn connect(
    standin: &Standin,
    name: &'static str,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(standin.addr()).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name).unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

pub async fn connect_any(standin: &Standin) -> TlsStream<TcpStream> {
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    connect(standin, ANTHROPIC, tls_config(standin, &versions)).await.unwrap()
}

/// A streaming request for Anthropic as it goes over the wire, with further header lines.
pub fn wire_request(headers: &str) -> Vec<u8> {
    let body = anthropic_body(true).to_string();
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: {ANTHROPIC}\r\nx-api-key: k\r\n\
         anthropic-version: 2023-06-01\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What a client sees of one exchange, in nanoseconds of the stand-in's clock.
pub struct Seen {
    pub before_write_ns: u64,
    /// After each read that brought something, and what it brought.
    pub reads: Vec<(u64, Vec<u8>)>,
}

impl Seen {
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.reads.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        String::from_utf8(bytes).unwrap()
    }
}

/// What comes of `future`, which a working stand-in never leaves waiting for so long.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing came in 20 s")
}

/// Sends a request and reads to the end of its chunked response.
pub async fn exchange(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> Seen {
    let before_write_ns = now_ns();
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    let mut seen = Seen { before_write_ns, reads: Vec::new() };
    loop {
        let mut bytes = vec![0; 65_536];
        let length = soon(stream.read(&mut bytes)).await.unwrap();
        assert!(length > 0, "the connection ended within a response");
        bytes.truncate(length);
        let end = bytes.ends_with(b"\r\n0\r\n\r\n");
        seen.reads.push((now_ns(), bytes));
        if end {
            return seen;
        }
    }
}

/// The data of the server-sent events in a body; `[DONE]` comes as a string.
pub fn events(body: &str) -> Vec<(Option<String>, Value)> {
    let body = body.replace("\r\n", "\n");
    let blocks = body.strip_suffix("\n\n").expect("the body ends with an event").split("\n\n");
    blocks
        .map(|block| {
            let name = block.lines().find_map(|line| line.strip_prefix("event: "));
            let data = block.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            let data = serde_json::from_str(data).unwrap_or_else(|_| json!(data));
            (name.map(str::to_owned), data)
        })
        .collect()
}

pub async fn json_of(response: Response) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// The times of the events for which `pick` returns something.
pub fn times<T>(log: &[LogEntry], pick: impl Fn(&Event) -> Option<T>) -> Vec<(u64, T)> {
    log.iter().filter_map(|entry| Some((entry.t_ns, pick(&entry.event)?))).collect()
}

pub fn requests(log: &[LogEntry]) -> Vec<u64> {
    let pick = |event: &Event| matches!(event, Event::Request { .. }).then_some(());
    times(log, pick).into_iter().map(|(t_ns, ())| t_ns).collect()
}

pub fn response_starts(log: &[LogEntry]) -> Vec<(u64, u16)> {
    times(log, |event| match event {
        Event::ResponseStart { status, .. } => Some(*status),
        _ => None,
    })
}

pub fn faults(log: &[LogEntry]) -> Vec<&'static str> {
    let found = times(log, |event| match event {
        Event::Fault { kind, .. } => Some(*kind),
        _ => None,
    });
    found.into_iter().map(|(_, kind)| kind).collect()
}

/// Reads to the end, whatever it is.
pub async fn body_or_error(response: Response) -> (Vec<u8>, bool) {
    let mut response = response;
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) => return (body, false),
            Err(_) => return (body, true),
        }
    }
}
