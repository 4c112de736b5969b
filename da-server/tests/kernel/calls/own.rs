//! What the server itself calls is watched by itself: nothing lists it, and nobody knows its host.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use da_standin::{Options, Plan, Standin, TlsMode};
use da_testkit::server::ServerProgram;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::page::SCENE;
use super::proxy;
use crate::lab::cant_load;
use crate::turns::beside;
use da_testkit::programs::skip;

const LLM_NAME: &str = "model.own.kernel.test";
/// Longer than all turns take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A model and a voice.
struct Providers {
    llm: Standin,
    tts: Standin,
}

impl Providers {
    async fn start(tls: TlsMode, close: bool) -> Self {
        let plan = Plan { chunks: Some(2), close, ..Plan::default() };
        let names = vec![LLM_NAME.to_owned()];
        let options = Options { tls, names, plan, ..Options::default() };
        let start = |options| async { Standin::start(options).await.expect("a stand-in") };
        Self { llm: start(options.clone()).await, tts: start(options).await }
    }
}

/// Starts a server that is told where both are, and nothing else of them.
fn serve(providers: &Providers, urls: [&str; 2], variables: &[(&str, String)]) -> ServerProgram {
    let ca_pem = [providers.llm.ca_pem(), providers.tts.ca_pem()].concat();
    let [llm, tts] = urls;
    let toml = format!(
        "[game]\nscenes_dir = \"scenes\"\nrequests_per_minute = 10000\n\
         [llm]\nbase_url = \"{llm}\"\n[tts]\nbase_url = \"{tts}\"\n[http_client]\nca_file = \"ca.pem\"\n"
    );
    ServerProgram::start(&["serve"], &toml, |command| {
        let folder = command.get_current_dir().expect("a folder").to_owned();
        std::fs::create_dir(folder.join("scenes")).expect("made");
        std::fs::write(folder.join("scenes/quiet.toml"), SCENE).expect("written");
        std::fs::write(folder.join("ca.pem"), ca_pem).expect("written");
        command.envs([("ANTHROPIC_API_KEY", "k"), ("ELEVENLABS_API_KEY", "k")]);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
    })
}

/// Plays so many turns.
pub(super) async fn play(server: SocketAddr, turns: usize) {
    let played = async {
        let (mut socket, _) =
            tokio_tungstenite::connect_async(format!("ws://{server}/ws")).await.expect("connected");
        let mut say = vec![json!({"type": "start", "scene": "quiet"})];
        say.extend((0..turns).map(|_| json!({"type": "say", "text": "Hello"})));
        for (line, awaited) in
            say.into_iter().zip(["session"].into_iter().chain(std::iter::repeat("turn_end")))
        {
            socket.send(Message::text(line.to_string())).await.expect("sent");
            loop {
                let message = socket.next().await.expect("open").expect("a message");
                let Message::Text(text) = message else { continue };
                let message: Value = serde_json::from_str(&text).expect("JSON");
                if message["type"] == awaited {
                    break;
                }
            }
        }
    };
    timeout(PATIENCE, played).await.expect("played in time");
}

/// The calls that are remembered, once there are so many.
pub(super) fn calls(program: &ServerProgram, count: usize) -> Vec<Value> {
    let calls = || -> Vec<Value> {
        let (_, body) = program.get("/api/calls?limit=500&of=own");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        body["calls"].as_array().expect("calls").clone()
    };
    program.wait_for("all calls are known", || calls().len() == count);
    calls()
}

/// How each attempt of a call was joined.
pub(super) fn joins(call: &Value) -> Vec<&str> {
    let attempts = call["attempts"].as_array().expect("attempts");
    attempts.iter().map(|one| one["join"].as_str().expect("a join")).collect()
}

/// Each of `turns` is a call of the model and one of the voice, joined with its socket, and both halves
/// know them under these names.
fn all_is_seen(program: &ServerProgram, turns: usize, providers: [&str; 2]) {
    let named = ["llm", "tts"].into_iter().zip(providers);
    for call in calls(program, 2 * turns) {
        assert_eq!(joins(&call), ["joined"], "{call:#}");
        let called = (call["kind"].as_str(), call["provider"].as_str());
        assert!(named.clone().any(|(kind, name)| called == (Some(kind), Some(name))), "{call:#}");
    }
    let (_, text) = program.get("/metrics");
    for (kind, provider) in named {
        let attempts = format!("digital_actors_{kind}_attempt_seconds_count{{");
        let label = format!("provider=\"{provider}\"");
        let of_app: Vec<_> = text.lines().filter(|line| line.starts_with(&attempts)).collect();
        assert!(
            !of_app.is_empty() && of_app.iter().all(|line| line.contains(&label)),
            "{of_app:?}"
        );
        let series = format!(
            "digital_actors_socket_connections_total{{kind=\"{kind}\",outcome=\"ok\",provider=\"{provider}\"}} "
        );
        assert!(text.lines().any(|line| line.starts_with(&series)), "{series}: {text}");
        assert!(
            text.contains(&format!("seconds_count{{kind=\"{kind}\",provider=\"{provider}\"}}"))
        );
    }
}

/// Where both are, as URLs of `scheme` with these hosts, and the names that follow.
fn urls(providers: &Providers, scheme: &str, hosts: [&str; 2]) -> ([String; 2], [String; 2]) {
    let ports = [&providers.llm, &providers.tts].map(|one| one.addr().port());
    let names = [0, 1].map(|one: usize| format!("{}:{}", hosts[one], ports[one]));
    (names.clone().map(|name| format!("{scheme}://{name}")), names)
}

async fn is_watched(tls: TlsMode, hosts: [&str; 2], by_proxy: bool, turns: usize) {
    let _turn = beside(["own.kernel.test"]);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let providers = Providers::start(tls, false).await;
    let scheme = if tls == TlsMode::Plain { "http" } else { "https" };
    let (urls, names) = urls(&providers, scheme, hosts);
    let proxies: Vec<_> = if by_proxy {
        // One leads to one server; the other is asked as it is.
        let at = proxy::start(providers.llm.addr());
        let variable = if tls == TlsMode::Plain { "HTTP_PROXY" } else { "HTTPS_PROXY" };
        vec![(variable, format!("http://{at}")), ("NO_PROXY", "localhost".to_owned())]
    } else {
        Vec::new()
    };
    let program = serve(&providers, [&urls[0], &urls[1]], &proxies);
    play(program.listens(1)[0], turns).await;
    all_is_seen(&program, turns, [&names[0], &names[1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_an_address_in_the_clear() {
    is_watched(TlsMode::Plain, ["127.0.0.1", "127.0.0.1"], false, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_name_in_the_clear_at_two_ports_of_one_host() {
    is_watched(TlsMode::Plain, ["localhost", "localhost"], false, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_an_address_over_tls() {
    is_watched(TlsMode::V12, ["127.0.0.1", "localhost"], false, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_name_behind_a_proxy_that_is_asked_by_connect() {
    is_watched(TlsMode::V12, [LLM_NAME, "localhost"], true, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_an_address_behind_a_proxy_that_is_asked_by_connect() {
    is_watched(TlsMode::V12, ["127.0.0.1", "localhost"], true, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_in_the_clear() {
    is_watched(TlsMode::Plain, [LLM_NAME, "localhost"], true, 4).await;
}

/// What the server calls does not change while it runs; a connection made later shows that.
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_when_endpoints_are_read_again() {
    let _turn = beside(["own.kernel.test"]);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let providers = Providers::start(TlsMode::Plain, true).await;
    let (urls, names) = urls(&providers, "http", ["127.0.0.1", "localhost"]);
    let program = serve(&providers, [&urls[0], &urls[1]], &[]);
    let server = program.listens(1)[0];
    play(server, 2).await;
    program.signal(libc::SIGHUP);
    program.exposes("digital_actors_config_reloads_total{result=\"success\"} 1");
    play(server, 2).await;
    all_is_seen(&program, 4, [&names[0], &names[1]]);
}

/// Its protocol shows no name: known by what its host was looked up to.
#[test]
fn a_database_is_watched_by_name() {
    let _turn = beside(["own.kernel.test"]);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let database = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = database.local_addr().expect("an address").port();
    std::thread::spawn(move || database.incoming().for_each(drop));
    let program = ServerProgram::start(&["serve"], "", |command| {
        let url = format!("postgres://da@localhost:{port}/game");
        command.envs([("ANTHROPIC_API_KEY", "k".to_owned()), ("DATABASE_URL", url)]);
    });
    let connections = "digital_actors_socket_connections_total{kind=\"db\",outcome=";
    let name = format!("provider=\"localhost:{port}\"");
    program.wait_for("a connection to the database", || {
        // It asks the database.
        program.get("/health");
        let (_, text) = program.get("/metrics");
        text.lines().any(|line| line.starts_with(connections) && line.contains(&name))
    });
}
