//! A server of one case's own, as a process: between a provider that the case chooses and its players.

use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use da_server::llm::LlmProtocol;
use da_server::tts::TtsProtocol;
use da_testkit::player::{Player, Received};
use da_testkit::scenes::test_scenes;
use da_testkit::scrape::Scrape;
use da_testkit::server::ServerProgram;
use serde_json::json;
use tempfile::TempDir;

use crate::provider::Provider;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// What a case chooses of its server.
pub struct Settings {
    pub model: LlmProtocol,
    pub voice: TtsProtocol,
    pub provider: Provider,
    /// What a scraper has to say of itself, as whole lines of a head.
    pub headers: String,
    /// What is done before it starts to the place where its database will be.
    pub before: fn(&Path),
    /// Variables, which win over what all servers here have.
    pub variables: Vec<(&'static str, String)>,
    /// What is done to the command before it starts.
    pub prepare: fn(&mut Command),
}

impl Settings {
    /// With a healthy provider.
    pub fn healthy() -> Self {
        Self::with(Provider::healthy())
    }

    pub fn with(provider: Provider) -> Self {
        Self {
            model: LlmProtocol::Anthropic,
            voice: TtsProtocol::ElevenLabs,
            provider,
            headers: String::new(),
            before: |_| {},
            variables: Vec::new(),
            prepare: |_| {},
        }
    }

    /// The same with this variable set.
    pub fn set(mut self, name: &'static str, value: impl ToString) -> Self {
        self.variables.push((name, value.to_string()));
        self
    }
}

pub struct Server {
    program: ServerProgram,
    pub address: SocketAddr,
    pub provider: Provider,
    setting: Setting,
}

/// What a server that takes its place has as well.
struct Setting {
    folder: TempDir,
    toml: String,
    headers: String,
    variables: Vec<(&'static str, String)>,
    prepare: fn(&mut Command),
}

impl Server {
    pub fn start(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        // For servers that run as somebody else.
        std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("permissions");
        let toml = configuration(&settings, &folder);
        (settings.before)(&folder.path().join("game.sqlite"));
        let Settings { headers, variables, prepare, provider, .. } = settings;
        Self::run(Setting { folder, toml, headers, variables, prepare }, provider)
    }

    fn run(setting: Setting, provider: Provider) -> Self {
        let program = ServerProgram::start(&["serve"], &setting.toml, |command| {
            command.envs([("ANTHROPIC_API_KEY", "any"), ("ELEVENLABS_API_KEY", "any")]);
            command.envs([("OPENAI_API_KEY", "any"), ("GOOGLE_API_KEY", "any")]);
            command.envs(setting.variables.iter().map(|(name, value)| (name, value)));
            (setting.prepare)(command);
        });
        let address = program.listens(1)[0];
        Self { program, address, provider, setting }
    }

    pub fn id(&self) -> u32 {
        self.program.id()
    }

    pub fn signal(&self, signal: libc::c_int) {
        self.program.signal(signal);
    }

    /// The database, where it is a file.
    pub fn database(&self) -> PathBuf {
        self.setting.folder.path().join("game.sqlite")
    }

    pub async fn player(&self) -> Player {
        let mut player = Player::connect(self.address).await;
        player.start("quiet").await;
        player
    }

    /// What a new player who says this gets: `success`, or `error` and its code.
    pub async fn turn(&self, line: &str) -> String {
        let mut player = self.player().await;
        let came = turn_of(&mut player, line).await;
        player.leave().await;
        came
    }

    /// Status and body of a GET.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let headers = &self.setting.headers;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        let answer = self.exchange(request.as_bytes()).await.expect("an answer");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// All that comes back for these bytes, until the server closes the connection.
    async fn exchange(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (address, bytes) = (self.address, bytes.to_vec());
        let exchange = move || {
            let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.write_all(&bytes)?;
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer)?;
            Ok(answer)
        };
        tokio::task::spawn_blocking(exchange).await.expect("no panic")
    }

    pub async fn scrape(&self) -> Scrape {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        Scrape::parse(&text)
    }

    /// The end of its log, for whoever reads why a case is red.
    pub fn log_end(&self) -> String {
        let log = self.program.log();
        log[log.len().saturating_sub(12)..].join("\n")
    }

    /// Stops it as an operator does; how it ended, and all that it logged.
    pub fn stop(self) -> (ExitStatus, String) {
        self.program.signal(libc::SIGTERM);
        self.program.wait()
    }

    /// Ends it by this signal, and starts another in its place; how it ended.
    pub fn again(self, signal: libc::c_int) -> (Self, ExitStatus) {
        self.program.signal(signal);
        let (status, _) = self.program.wait();
        (Self::run(self.setting, self.provider), status)
    }

    /// Waits for its end, and starts another in its place; how it ended.
    pub fn after_its_end(self) -> (Self, ExitStatus) {
        let (status, _) = self.program.wait();
        (Self::run(self.setting, self.provider), status)
    }

    /// Whether what a new player says now is there when they come back.
    pub async fn keeps(&self) -> bool {
        let mut player = self.player().await;
        turn_of(&mut player, "Remember this").await;
        let token = player.token.clone();
        player.leave().await;
        self.remembers(&token).await == 1
    }

    /// How many lines of its player it remembers of the session with this token; none where its database
    /// can't be asked.
    pub async fn remembers(&self, token: &str) -> usize {
        let mut again = Player::connect(self.address).await;
        let start = json!({"type": "start", "scene": "quiet", "token": token});
        again.send(start).await;
        let session = loop {
            match again.receive().await {
                Received::Message(message) if message["type"] == "session" => break message,
                Received::Closed(frame) => {
                    let why = frame.map(|frame| frame.reason.to_string());
                    assert_eq!(why.as_deref(), Some("store_unavailable"));
                    return 0;
                }
                _ => {}
            }
        };
        again.leave().await;
        let history = session["history"].as_array().expect("lines");
        history.iter().filter(|line| line["speaker"] == "player").count()
    }
}

/// What this player gets for saying this.
pub async fn turn_of(player: &mut Player, line: &str) -> String {
    player.say(line).await;
    let turn = player.hear_turn().await;
    match turn.status.as_str() {
        "success" if turn.audio.is_empty() && turn.errors.is_empty() => {
            "success, but silent".into()
        }
        status => [&[status], &*turn.error_codes()].concat().join(" "),
    }
}

/// All players of these cases come from one address, and often.
const ROOM: &str = "websocket.max_sessions_per_address = 10000\n\
                    websocket.starts_per_minute = 1000000\n\
                    websocket.starts_per_minute_per_address = 1000000\n\
                    websocket.requests_per_minute_per_address = 1000000\n";

fn configuration(settings: &Settings, folder: &TempDir) -> String {
    let Settings { model, voice, provider, .. } = settings;
    let base = provider.base_url();
    let llm = match model {
        LlmProtocol::Anthropic => base.clone(),
        LlmProtocol::OpenAi | LlmProtocol::Google => format!("{base}/v1"),
    };
    let (tts, more) = match voice {
        TtsProtocol::ElevenLabs => (base, ""),
        TtsProtocol::OpenAi => (format!("{base}/v1"), "tts.voice = 'nova'\n"),
    };
    let ca_file = provider.ca_file(folder.path());
    let ca_file = ca_file.map(|file| format!("http_client.ca_file = {file:?}\n"));
    let ca_file = ca_file.unwrap_or_default();
    // Soon enough for a case to wait for, and late enough for a machine that has other things to do.
    let quick = |section: &str| {
        format!(
            "{section}.retry.max_retries = 0\n{section}.timeouts.first_content_seconds = 4\n\
             {section}.timeouts.idle_seconds = 3\n{section}.timeouts.total_seconds = 30\n"
        )
    };
    format!(
        "grace_seconds = 2\nkernel.enabled = false\nstore.path = {:?}\n\
         game.scenes_dir = {:?}\ngame.requests_per_minute = 6000\n{ROOM}\
         {ca_file}http_client.pool_idle_timeout_seconds = 0.2\n\
         http_client.connect_timeout_seconds = 2\n\
         llm.protocol = '{}'\nllm.base_url = '{llm}'\ntts.protocol = '{}'\ntts.base_url = '{tts}'\n\
         {more}{}{}",
        folder.path().join("game.sqlite"),
        test_scenes(folder),
        match model {
            LlmProtocol::Anthropic => "anthropic",
            LlmProtocol::OpenAi => "openai",
            LlmProtocol::Google => "google",
        },
        match voice {
            TtsProtocol::ElevenLabs => "elevenlabs",
            TtsProtocol::OpenAi => "openai",
        },
        quick("llm"),
        quick("tts"),
    )
}
