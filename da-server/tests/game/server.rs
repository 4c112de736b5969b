//! A server of one test's own, between a stand-in for all providers and the test's players.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use da_server::calls::CallHistory;
use da_server::config::Config;
use da_server::kernel::Reason;
use da_server::metrics::Metrics;
use da_server::provider::{ApiKey, HttpConfig};
use da_server::{App, Listeners};
use da_standin::{DEFAULT_NAMES, Event, Options, Plan, Standin};
use da_testkit::player::Player;
use da_testkit::scenes::test_scenes;
use da_testkit::scrape::Scrape;
use sha2::{Digest, Sha256};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const LLM: &str = DEFAULT_NAMES[0];
pub const TTS: &str = DEFAULT_NAMES[2];

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    pub address: SocketAddr,
    /// Of the listener for metrics, if it has one of its own.
    pub metrics_address: Option<SocketAddr>,
    pub standin: Standin,
    pub folder: TempDir,
    pub shutdown: CancellationToken,
    /// The calls it remembers; tests may add some.
    pub calls: Arc<CallHistory>,
    running: JoinHandle<anyhow::Result<()>>,
    http: reqwest::Client,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with a listener of its own for metrics, and where that is.
    pub async fn with_metrics_apart(change: impl FnOnce(&mut Config)) -> (Self, SocketAddr) {
        let server = Self::with(|config| {
            config.metrics.listen = Some(([127, 0, 0, 1], 0).into());
            change(config);
        })
        .await;
        let at = server.metrics_address.expect("one of its own");
        (server, at)
    }

    /// A server whose configuration was changed from what tests usually want: no retries, and a
    /// store in a folder of its own.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let standin = Standin::start(Options::default()).await.expect("stand-in");
        let mut config = usual(&standin, &folder);
        change(&mut config);
        let game = TcpListener::bind(config.listen).expect("port");
        let metrics = config.metrics.listen.map(|at| TcpListener::bind(at).expect("port"));
        let address_of = |listener: &TcpListener| listener.local_addr().expect("address");
        let (address, metrics_address) = (address_of(&game), metrics.as_ref().map(address_of));
        let shutdown = CancellationToken::new();
        let app = App::new(config, Metrics::new().expect("metrics"), Err(Reason::Disabled));
        let app = app.expect("app");
        let calls = app.calls.history.clone();
        let listeners = Listeners { main: game, metrics };
        let running = tokio::spawn(da_server::run(app, listeners, shutdown.clone()));
        let http = da_server::provider::http_client(&HttpConfig::default()).expect("client");
        Self { address, metrics_address, standin, folder, shutdown, calls, running, http }
    }

    pub fn llm_plan(&self, plan: Plan) {
        self.standin.set_plan_for(LLM, plan);
    }

    pub fn tts_plan(&self, plan: Plan) {
        self.standin.set_plan_for(TTS, plan);
    }

    pub async fn player(&self) -> Player {
        Player::connect(self.address).await
    }

    /// A player in a scene without openings to wait for.
    pub async fn player_in(&self, scene: &str) -> Player {
        let mut player = self.player().await;
        player.start(scene).await;
        player
    }

    pub fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("http://{}{path}", self.address))
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub async fn scrape(&self) -> Scrape {
        let response = self.request("/metrics").send().await.expect("answer");
        assert_eq!(response.status(), 200);
        Scrape::parse(&response.text().await.expect("text"))
    }

    /// Scrapes until `is_there` holds: what is counted when a turn or a connection has ended can
    /// come after the player heard of it.
    pub async fn scrape_until(&self, is_there: impl Fn(&Scrape) -> bool) -> Scrape {
        let scraping = async {
            loop {
                let scrape = self.scrape().await;
                if is_there(&scrape) {
                    return scrape;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, scraping).await {
            Ok(scrape) => scrape,
            Err(_) => panic!("not there: {:?}", self.scrape().await),
        }
    }

    /// Waits until the provider with this name has had so many requests.
    pub async fn asked(&self, name: &str, times: usize) {
        let requests = || {
            let log = self.standin.log();
            let of_it = log.into_iter().filter(|entry| entry.name.as_deref() == Some(name));
            of_it.filter(|entry| matches!(entry.event, Event::Request { .. })).count()
        };
        let asked = async {
            while requests() < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let asked = tokio::time::timeout(PATIENCE, asked).await;
        asked.unwrap_or_else(|_| panic!("{} requests of {name}, not {times}", requests()));
    }

    /// What the database holds of the session with this token: who asked what, and the answer.
    pub async fn stored(&self, token: &str) -> Vec<(String, String)> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let options = SqliteConnectOptions::new().filename(self.database()).read_only(true);
        let mut connection = options.connect().await.expect("opened");
        let sql = "SELECT asked, answer FROM turns JOIN sessions ON session_id = sessions.id \
                   WHERE token_hash = $1 ORDER BY turns.id";
        let turns = sqlx::query_as(sql).bind(&hash[..]).fetch_all(&mut connection).await;
        turns.expect("read")
    }

    pub fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("game.sqlite")
    }

    /// Stops the server as SIGTERM does, and waits for its end.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.running.await.expect("no panic")
    }
}

fn usual(standin: &Standin, folder: &TempDir) -> Config {
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, standin.ca_pem()).expect("written");
    let address = standin.addr();
    let mut config = Config::default();
    config.listen.set_port(0);
    config.store.path = folder.path().join("game.sqlite");
    config.http_client.ca_file = Some(ca_file);
    config.http_client.resolve = DEFAULT_NAMES.map(|name| (name.to_owned(), address)).into();
    config.llm.base_url = Some(format!("https://{LLM}:{}", address.port()));
    config.tts.base_url = Some(format!("https://{TTS}:{}", address.port()));
    config.llm.api_key = ApiKey::new("llm-key-that-nobody-may-see");
    config.tts.api_key = ApiKey::new("tts-key-that-nobody-may-see");
    config.llm.retry.max_retries = 0;
    config.tts.retry.max_retries = 0;
    config.game.scenes_dir = Some(test_scenes(folder));
    config.game.requests_per_minute = 6000;
    config.websocket.max_sessions_per_address = 10_000;
    config.websocket.starts_per_minute = 1_000_000;
    config.websocket.starts_per_minute_per_address = 1_000_000;
    config.websocket.requests_per_minute_per_address = 1_000_000;
    config
}
