//! The program itself: how it starts, what it says, how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use da_standin::{DEFAULT_NAMES, Options, Plan, Standin};
use da_testkit::player::Player;
use serde_json::Value;
use tempfile::TempDir;

use crate::server::{LLM, TTS};

const KEY: &str = "key-that-nobody-may-see";

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_da-server"));
    command.env_clear().env("DA_KERNEL__ENABLED", "false").env("PORT", "0");
    command
}

fn refused(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().expect("ran");
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).expect("text")
}

#[test]
fn what_it_cant_start_with_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("da.toml");
    std::fs::write(&file, "[llm]\nmodle = 'x'\n").expect("written");
    let said = refused(program().arg("--config").arg(&file));
    for part in ["da.toml:2: ", "modle", "`model`"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = refused(program().current_dir(&folder));
    assert!(said.contains("ANTHROPIC_API_KEY"), "{said}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let port = taken.local_addr().expect("address").port().to_string();
    let said = refused(program().env("PORT", &port));
    assert!(said.contains(&port) && said.contains("another process has it"), "{said}");

    let proxy = ("ALL_PROXY", "socks5h://127.0.0.1:1080");
    let said = refused(program().env("ANTHROPIC_API_KEY", KEY).env(proxy.0, proxy.1));
    assert!(said.contains("socks5h") && said.contains("HTTPS_PROXY"), "{said}");

    std::fs::write(folder.path().join("bad.toml"), "title = 1\n").expect("written");
    let said =
        refused(program().env("ANTHROPIC_API_KEY", KEY).env("DA_GAME__SCENES_DIR", folder.path()));
    assert!(said.contains("bad.toml:1:"), "{said}");
}

/// Each asks for more than the one that is the most anybody should.
#[tokio::test]
async fn no_filter_makes_it_log_a_word() {
    for filter in [
        "info,tungstenite::protocol=trace",
        "trace,tungstenite=trace,tungstenite::protocol=trace,tungstenite::protocol::frame=trace",
        "tokio_tungstenite=trace,h2=trace,h2::codec=trace,hyper=trace,hyper_util=trace,axum=trace",
        "sqlx=trace,sqlx::query=trace,reqwest=trace,reqwest::connect=trace,rustls=trace,tower_http=trace",
        "trace,log=trace,[{message}]=trace",
    ] {
        let filter = ("LOG_LEVEL", format!("{filter},da_server=trace"));
        plays_ends_on_sigterm_and_keeps_every_word_to_itself(&[filter]).await;
    }
}

#[tokio::test]
async fn it_plays_ends_on_sigterm_and_keeps_every_word_to_itself() {
    plays_ends_on_sigterm_and_keeps_every_word_to_itself(&[]).await;
}

async fn plays_ends_on_sigterm_and_keeps_every_word_to_itself(variables: &[(&str, String)]) {
    let standin = Standin::start(Options::default()).await.expect("stand-in");
    standin.set_plan(Plan { text: Some("Answered-in-confidence.".into()), ..Plan::default() });
    let folder = tempfile::tempdir().expect("folder");
    let mut server = start(&standin, &folder, variables);
    let log = server.stderr.take().expect("log");
    let (address, log) = tokio::task::spawn_blocking(move || address_of(log)).await.expect("read");

    let mut player = Player::connect(address).await;
    player.start("submarine").await;
    player.say("Asked-in-confidence").await;
    while player.hear_turn().await.text() != "Answered-in-confidence." {}
    let token = player.token.clone();

    // SAFETY: sends a signal to the child that this test started and has not waited for.
    assert_eq!(unsafe { libc::kill(server.id().cast_signed(), libc::SIGTERM) }, 0);
    assert_eq!(player.wait_for_close().await.1, "server_shutdown");
    let status = tokio::task::spawn_blocking(move || server.wait()).await.expect("joined");
    assert_eq!(status.expect("ended").code(), Some(0));

    let log = log.join().expect("log");
    assert!(log.contains("\"DEBUG\""), "it was told to log everything: {log}");
    let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
    for word in ["in-confidence", KEY, &token, &hex, "Kestrel", "intercom"] {
        let line = log.lines().find(|line| line.contains(word));
        assert_eq!(line, None, "{word} is in the log");
    }
}

/// A server that logs everything, with `more` variables.
pub fn start(standin: &Standin, folder: &TempDir, more: &[(&str, String)]) -> Child {
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, standin.ca_pem()).expect("written");
    let port = standin.addr().port();
    let resolve =
        DEFAULT_NAMES.map(|name| format!("\"{name}\" = \"{}\"\n", standin.addr())).concat();
    let config = format!(
        "[http_client]\nca_file = {ca_file:?}\n[http_client.resolve]\n{resolve}\
         [llm]\nbase_url = \"https://{LLM}:{port}\"\n[tts]\nbase_url = \"https://{TTS}:{port}\"\n"
    );
    let file = folder.path().join("da.toml");
    std::fs::write(&file, config).expect("written");
    program()
        .arg("serve")
        .arg("--config")
        .arg(file)
        .current_dir(folder)
        .envs([("ANTHROPIC_API_KEY", KEY), ("ELEVENLABS_API_KEY", KEY)])
        .envs([("LOG_LEVEL", "trace"), ("LOG_FORMAT", "json")])
        .env("DA_WEBSOCKET__STARTS_PER_MINUTE", "100000")
        .env("DA_WEBSOCKET__STARTS_PER_MINUTE_PER_ADDRESS", "100000")
        .envs(more.iter().map(|(name, value)| (name, value)))
        .stderr(Stdio::piped())
        .spawn()
        .expect("started")
}

/// Where it listens, from its log; the rest of which is read on, and handed over at its end.
pub fn address_of(
    log: impl Read + Send + 'static,
) -> (SocketAddr, std::thread::JoinHandle<String>) {
    let mut lines = BufReader::new(log).lines();
    let mut seen = String::new();
    let address = loop {
        let line = lines.next().expect("a log").expect("text");
        seen.push_str(&line);
        seen.push('\n');
        let entry: Value = serde_json::from_str(&line).expect("JSON");
        if entry["message"] == "listening" {
            break entry["address"].as_str().expect("address").parse().expect("address");
        }
    };
    let rest = std::thread::spawn(move || {
        lines.map_while(Result::ok).fold(seen, |all, line| all + &line + "\n")
    });
    (address, rest)
}
