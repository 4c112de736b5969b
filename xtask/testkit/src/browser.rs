//! A real browser: headless Chromium, driven by its own driver.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::programs::skip;
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::built;

/// Longer than a page here takes to show anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A window, and the processes behind it. They end with it.
pub struct Browser {
    /// For whatever is asked of it.
    pub client: Client,
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// A window of this size; one of a phone if it is narrow. `None`, said aloud, where there is
    /// no browser; that is a failure in CI.
    pub async fn open(width: u32, height: u32) -> Option<Self> {
        let (driver, port) = match start_driver() {
            Ok(driver) => driver,
            Err(error) => {
                skip(&format!("no chromedriver ({error}): `cargo xtask setup` installs it"));
                return None;
            }
        };
        let profile = tempfile::tempdir().expect("profile");
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(width, height, &profile))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("browser");
        let session = client.session_id().await.expect("asked").expect("a session");
        Some(Self { client, driver, port, session, _profile: profile })
    }

    /// The element that this selector finds, once it is there and a person could see it: Chromium
    /// throws clicks away until the page has painted for the first time.
    pub async fn see(&self, selector: &str) -> Element {
        let looking = async {
            loop {
                if let Ok(element) = self.client.find(Locator::Css(selector)).await
                    && element.is_displayed().await.unwrap_or(false)
                    && self.has_painted().await
                {
                    return element;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(element) => element,
            Err(_) => {
                self.screenshot("not-seen").await;
                let shown = self.shown().await;
                panic!("{selector} is not to be seen: see the screenshot not-seen. {shown}")
            }
        }
    }

    async fn has_painted(&self) -> bool {
        let painted = "return performance.getEntriesByName('first-contentful-paint').length > 0;";
        self.client.execute(painted, Vec::new()).await.is_ok_and(|value| value == json!(true))
    }

    /// Where the window is and what can be read in it, for the message of a test that failed.
    async fn shown(&self) -> String {
        let shown =
            "return `${location.href}, ${document.readyState}: ${document.body.innerText}`;";
        match self.client.execute(shown, Vec::new()).await {
            Ok(shown) => shown.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// The value of an expression in the page.
    pub async fn evaluate(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.client.execute(&script, Vec::new()).await.expect(expression)
    }

    /// Waits until an expression in the page is true.
    pub async fn until(&self, expression: &str) {
        let waiting = async {
            while self.evaluate(expression).await != Value::Bool(true) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            self.screenshot("not-true").await;
            let shown = self.shown().await;
            panic!("never true: {expression}; see the screenshot not-true. {shown}");
        }
    }

    /// Keeps what the window shows.
    pub async fn screenshot(&self, name: &str) {
        let folder = output_folder();
        std::fs::create_dir_all(&folder).expect("folder");
        let picture = self.client.screenshot().await.expect("picture");
        std::fs::write(folder.join(format!("{name}.png")), picture).expect("written");
    }

    /// Ends the session before the processes, so that nothing is left of it.
    pub async fn close(mut self) {
        self.client.clone().close().await.expect("closed");
        self.driver.kill().expect("stopped");
        self.driver.wait().expect("ended");
    }
}

impl Drop for Browser {
    /// For a test that failed in between: a driver that is killed leaves its browser behind.
    fn drop(&mut self) {
        let _ = self.end_session();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    fn end_session(&self) -> io::Result<()> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let session = &self.session;
        write!(socket, "DELETE /session/{session} HTTP/1.1\r\nconnection: close\r\n\r\n")?;
        // It answers once the browser has ended.
        socket.read(&mut [0; 512]).map(drop)
    }
}

fn capabilities(width: u32, height: u32, profile: &TempDir) -> serde_json::Map<String, Value> {
    let arguments = [
        "--headless".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-quic".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        format!("--window-size={width},{height}"),
        format!("--user-data-dir={}", profile.path().display()),
    ];
    let mut options = json!({"args": arguments});
    if width < 500 {
        let metrics = json!({"width": width, "height": height, "pixelRatio": 2.0, "touch": true});
        options["mobileEmulation"] = json!({"deviceMetrics": metrics});
    }
    let all = json!({
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "ALL"},
    });
    all.as_object().expect("object").clone()
}

/// A driver, and its port. It takes one that is free under IPv6 and then the same under IPv4, where
/// it may be somebody else's: then it says so and ends, and another one is started.
fn start_driver() -> io::Result<(Child, u16)> {
    let mut all_said = Vec::new();
    for _ in 0..10 {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        match port_of(&mut driver) {
            Ok(port) => return Ok((driver, port)),
            Err(said) => all_said.extend(said),
        }
        driver.wait()?;
    }
    panic!("chromedriver takes no port: {all_said:#?}");
}

/// The port that a driver has taken, or what it says instead.
fn port_of(driver: &mut Child) -> Result<u16, Vec<String>> {
    let output = driver.stdout.take().expect("output");
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let mut said = Vec::new();
    let port = lines.by_ref().find_map(|line| {
        let port = line.strip_prefix("ChromeDriver was started successfully on port ");
        let port = port.and_then(|port| port.trim_end_matches('.').parse().ok());
        said.push(line);
        port
    });
    // Whatever else it says must go somewhere, or it would wait for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    port.ok_or(said)
}

/// Where tests leave what people may look at.
fn output_folder() -> PathBuf {
    match std::env::var_os("DA_TEST_OUTPUT") {
        Some(folder) => folder.into(),
        None => built::folder().expect("a test's").with_file_name("test-output"),
    }
}
