//! A real browser: headless Chromium, driven by its own driver.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than a page here takes to show anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A window, and the processes behind it. They end with it.
pub struct Browser {
    pub client: Client,
    driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// A window of this size; one of a phone if it is narrow. `None`, said aloud, where there is
    /// no browser; that is a failure in CI.
    pub async fn open(width: u32, height: u32) -> Option<Self> {
        let spawned = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = match spawned {
            Ok(driver) => driver,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "no chromedriver in CI: {error}");
                eprintln!(
                    "SKIPPED: no chromedriver ({error}); apt-get install chromium chromium-driver"
                );
                return None;
            }
        };
        let port = port_of(&mut driver);
        let profile = tempfile::tempdir().expect("profile");
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(width, height, &profile))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("browser");
        Some(Self { client, driver, _profile: profile })
    }

    /// The element that this selector finds, once it is there and can be seen.
    pub async fn see(&self, selector: &str) -> Element {
        let looking = async {
            loop {
                if let Ok(element) = self.client.find(Locator::Css(selector)).await
                    && element.is_displayed().await.unwrap_or(false)
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
                panic!("{selector} is not to be seen: see the screenshot not-seen")
            }
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
            panic!("never true: {expression}; see the screenshot not-true");
        }
    }

    /// Keeps what the window shows.
    pub async fn screenshot(&self, name: &str) {
        let folder = output_folder();
        std::fs::create_dir_all(&folder).expect("folder");
        let picture = self.client.screenshot().await.expect("picture");
        std::fs::write(folder.join(format!("{name}.png")), picture).expect("written");
    }

    pub async fn close(mut self) {
        self.client.clone().close().await.expect("closed");
        self.driver.kill().expect("stopped");
        self.driver.wait().expect("ended");
    }
}

impl Drop for Browser {
    /// For a test that failed in between.
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
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

/// The driver takes a free port and says which.
fn port_of(driver: &mut Child) -> u16 {
    let output = driver.stdout.take().expect("output");
    let mut lines = BufReader::new(output).lines();
    let said = lines.find_map(|line| {
        let line = line.ok()?;
        let port = line.strip_prefix("ChromeDriver was started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    // Whatever else it says must go somewhere, or it would wait for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    said.expect("chromedriver's port")
}

/// Where tests leave what people may look at.
fn output_folder() -> PathBuf {
    match std::env::var_os("DA_TEST_OUTPUT") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-output"),
    }
}
