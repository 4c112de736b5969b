//! The quick reference in docs/METRICS.md is what the code registers.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use da_server::calls::KernelView;
use da_server::config::{Config, Mode};
use da_server::kernel::catalogue::with_catalogue;
use da_server::kernel::{Kernel, KernelConfig, Watch};
use da_server::metrics::{Family, Metrics, PREFIX};
use da_server::reload::Reload;
use da_server::{App, Listeners};
use tokio_util::sync::CancellationToken;

use crate::lab::hooks;
use crate::turns::beside;
use da_testkit::programs::skip;

/// Set, the test writes the reference instead of comparing.
const WRITE: &str = "DA_WRITE_METRICS";
const DOCUMENT: &str = "../docs/METRICS.md";
const BEGINS: &str = "<!-- families: written by a test, see CONTRIBUTING.md -->\n";
const ENDS: &str = "<!-- end of families -->\n";
/// The last family that is registered before a server answers.
const LAST: &str = "digital_actors_active_sessions";

/// One server with all its parts, put together as the program does it.
#[test]
fn the_quick_reference_is_what_the_code_registers() {
    let _turn = beside([]);
    let kernel = Kernel::load(&KernelConfig { hooks: hooks(), ..KernelConfig::default() });
    if let Some(why) = kernel.unavailable() {
        return skip(&why.to_string());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let families = runtime.block_on(families(kernel, folder.path()));

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let document = fs::read_to_string(&path).expect("the document");
    let (before, rest) = document.split_once(BEGINS).expect("the beginning is marked");
    let (_, after) = rest.split_once(ENDS).expect("the end is marked");
    let rewritten = format!("{before}{BEGINS}{}{ENDS}{after}", table(&families));
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, rewritten).expect("writes");
    } else {
        assert!(rewritten == document, "docs/METRICS.md: run this test with {WRITE}=1, and look");
    }
}

async fn families(kernel: Kernel, folder: &Path) -> Vec<Family> {
    let variables = [
        ("ANTHROPIC_API_KEY", "none".to_owned()),
        ("ELEVENLABS_API_KEY", "none".to_owned()),
        ("DA_STORE__PATH", folder.join("game.sqlite").display().to_string()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let mut config = Config::load(None, variables).expect("the defaults");
    config.llm.api_key = da_server::provider::ApiKey::new("none");
    config.tts.api_key = da_server::provider::ApiKey::new("none");
    let metrics = Metrics::new().expect("metrics");
    let (sender, observations) = sync_channel(1 << 14);
    let view = KernelView {
        observations,
        settlements: kernel.settlements(),
        under_way: kernel.under_way(),
    };
    let shutdown = CancellationToken::new();
    let watch = Watch {
        endpoints: with_catalogue(&config.endpoint).expect("the catalogue"),
        unlisted: config.kernel.unlisted,
        max_processes: 0,
        resolved: Vec::new(),
    };
    let endpoints = kernel.endpoints_in_force();
    let reload = Reload {
        file: None,
        config: config.clone(),
        mode: Mode::Game,
        services: Vec::new(),
        endpoints,
    };
    reload.on_signal(metrics.registry()).expect("registers");
    let reading = kernel.start(watch, &metrics, Some(sender), shutdown.clone()).expect("starts");
    let main = TcpListener::bind("127.0.0.1:0").expect("a port");
    let app = App::new(config, metrics.clone(), Ok(view)).expect("an app");
    let listeners = Listeners { main, metrics: None };
    let running = tokio::spawn(da_server::run(app, listeners, shutdown.clone()));

    let begun = Instant::now();
    while !metrics.families().iter().any(|family| family.name == LAST) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not begin");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let families = metrics.families();
    shutdown.cancel();
    running.await.expect("no panic").expect("runs");
    let joined = tokio::task::spawn_blocking(|| reading.map(|reader| reader.join()));
    assert!(joined.await.expect("no panic").is_some_and(|ended| ended.is_ok()));
    families
}

fn table(families: &[Family]) -> String {
    let mut table =
        "| family | type | labels | in the exposition's words |\n|---|---|---|---|\n".to_owned();
    for Family { name, kind, labels, help } in families {
        let name = name.strip_prefix(PREFIX).map_or(name.as_str(), |name| &name[1..]);
        let (labels, help) = (labels.join(", "), help.replace('|', "\\|"));
        table += &format!("| `{name}` | {kind} | {labels} | {help} |\n");
    }
    table
}
