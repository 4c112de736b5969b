//! Firefox, driven over WebDriver BiDi, which it speaks by itself: Debian has no driver for it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use da_testkit::programs::skip;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longer than a page here takes to show anything, also in a browser that has just started.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it needs for a test: pages may play at once, nothing is heard (for which there need be no sound
/// card), and nobody but this machine is asked for anything.
const SETTINGS: &str = r#"
user_pref("media.autoplay.default", 0);
user_pref("media.autoplay.blocking_policy", 0);
user_pref("media.default_volume", "0.0");
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("app.update.auto", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("services.settings.server", "data:,");
"#;

/// Why a voice may not play.
const STATE_OF_VOICE: &str = "(() => { const voice = document.querySelector('#voice'); return voice && { \
    src: voice.src, paused: voice.paused, ended: voice.ended, at: voice.currentTime, \
    ready: voice.readyState, network: voice.networkState, error: voice.error?.message ?? null, \
    buffered: voice.buffered.length && voice.buffered.end(0) }; })()";

/// A window, and the process behind it, which ends with it.
pub struct Firefox {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    window: String,
    commands: u64,
    process: Child,
    _profile: TempDir,
}

impl Firefox {
    /// A window. `None`, said aloud, where there is no Firefox; that is a failure in CI.
    pub async fn open() -> Option<Self> {
        let profile = tempfile::tempdir().expect("a profile");
        std::fs::write(profile.path().join("user.js"), SETTINGS).expect("written");
        let mut process = match start(profile.path()) {
            Ok(process) => process,
            Err(error) => {
                skip(&format!("no Firefox ({error}): `cargo xtask setup` installs it"));
                return None;
            }
        };
        let log = process.stderr.take().expect("its log");
        let address = tokio::task::spawn_blocking(move || address_of(log)).await.expect("read");
        let url = format!("{address}/session");
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("connected");
        let mut firefox =
            Self { socket, window: String::new(), commands: 0, process, _profile: profile };
        firefox.command("session.new", json!({"capabilities": {}})).await;
        let tree = firefox.command("browsingContext.getTree", json!({})).await;
        firefox.window = tree["contexts"][0]["context"].as_str().expect("a window").to_owned();
        Some(firefox)
    }

    pub async fn go_to(&mut self, url: &str) {
        let page = json!({"context": self.window, "url": url, "wait": "complete"});
        self.command("browsingContext.navigate", page).await;
    }

    /// The value of an expression in the page.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        let script = json!({
            "expression": format!("JSON.stringify({expression}) ?? 'null'"),
            "target": {"context": self.window},
            "awaitPromise": true,
        });
        let evaluated = self.command("script.evaluate", script).await;
        let text = evaluated["result"]["value"].as_str();
        serde_json::from_str(text.unwrap_or_else(|| panic!("{evaluated}"))).expect("JSON")
    }

    /// Waits until an expression in the page is true.
    pub async fn until(&mut self, expression: &str) {
        let waiting = async {
            while self.evaluate(expression).await != Value::Bool(true) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let voice = self.evaluate(STATE_OF_VOICE).await;
            panic!("never true: {expression}; the voice is {voice}");
        }
    }

    async fn command(&mut self, method: &str, params: Value) -> Value {
        self.commands += 1;
        let command = json!({"id": self.commands, "method": method, "params": params});
        self.socket.send(Message::text(command.to_string())).await.expect("sent");
        let answered = async {
            loop {
                let message = self.socket.next().await.expect("an answer").expect("a message");
                let Message::Text(text) = message else { continue };
                let answer: Value = serde_json::from_str(&text).expect("JSON");
                if answer["id"] == self.commands {
                    assert_eq!(answer["type"], "success", "{method}: {answer}");
                    return answer["result"].clone();
                }
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("an answer in time")
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(profile: &Path) -> std::io::Result<Child> {
    Command::new("firefox-esr")
        .args(["--headless", "--no-remote", "--remote-debugging-port=0", "--profile"])
        .arg(profile)
        .arg("about:blank")
        .env("HOME", profile)
        .env("MOZ_CRASHREPORTER_DISABLE", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

/// Where it listens, from its log, which goes on being read: it would wait for a reader.
fn address_of(log: impl std::io::Read + Send + 'static) -> String {
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    let mut said = Vec::new();
    let address = lines.by_ref().find_map(|line| {
        let address = line.split("WebDriver BiDi listening on ").nth(1).map(str::to_owned);
        said.push(line);
        address
    });
    std::thread::spawn(move || lines.for_each(drop));
    address.unwrap_or_else(|| panic!("Firefox did not start: {said:#?}"))
}
