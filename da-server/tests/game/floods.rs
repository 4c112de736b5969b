//! Answers without measure: nobody else waits while one is read, and what is kept of them is bounded.

use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use da_server::provider::{HttpConfig, http_client};
use da_standin::{Decoder, Flood, FloodServer};
use da_testkit::player::Player;
use da_testkit::scenes::test_scenes;
use tempfile::TempDir;

use crate::binary::{address_of, program};

/// Longer than a debug build takes to read the largest one on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is kept of all of them at most: half of what the largest has.
const KEPT_BYTES: usize = 8 * 1024 * 1024;

/// A server of one worker: where that reads without a pause, nobody is served.
struct Server {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Server {
    async fn start(provider: &FloodServer, decoder: Decoder) -> Self {
        let base = format!("http://{}", provider.address());
        let (protocol, base_url) = match decoder {
            Decoder::OpenAi => ("openai", format!("{base}/v1")),
            Decoder::Google => ("google", format!("{base}/v1")),
            Decoder::Anthropic | Decoder::Audio => ("anthropic", base.clone()),
        };
        let folder = tempfile::tempdir().expect("folder");
        let mut process = program()
            .arg("serve")
            .current_dir(&folder)
            .envs([("DA_LLM__PROTOCOL", protocol), ("DA_LLM__BASE_URL", &base_url)])
            .envs([("DA_TTS__BASE_URL", &*base), ("LOG_FORMAT", "json")])
            .envs(["LLM", "TTS"].map(|of| (format!("DA_{of}__RETRY__MAX_RETRIES"), "0")))
            .envs(["LLM", "TTS"].map(|of| (format!("DA_{of}__BREAKER__FAILURES"), "0")))
            .env("DA_GAME__SCENES_DIR", test_scenes(&folder))
            .env("DA_GAME__REQUESTS_PER_MINUTE", "6000")
            .env("ANTHROPIC_API_KEY", "any")
            .env("TOKIO_WORKER_THREADS", "1")
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let log = process.stderr.take().expect("log");
        let (address, _log) =
            tokio::task::spawn_blocking(move || address_of(log)).await.expect("read");
        Self { process, address, _folder: folder }
    }

    /// The most memory that it has had in RAM so far.
    fn peak_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
    }
}

/// How often `/health` was answered before `work` was over.
async fn answers_during<F: Future>(server: SocketAddr, work: F) -> usize {
    let (over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let asking = {
        let (over, answers) = (over.clone(), answers.clone());
        tokio::spawn(async move {
            let http = http_client(&HttpConfig::default()).expect("client");
            while !over.load(Ordering::Relaxed) {
                let answer = http.get(format!("http://{server}/health")).send().await;
                assert_eq!(answer.expect("answer").status(), 200);
                answers.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    work.await;
    let during = answers.load(Ordering::Relaxed);
    over.store(true, Ordering::Relaxed);
    asking.await.expect("it asked");
    during
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_served_meanwhile_and_little_is_kept() {
    for decoder in Decoder::ALL {
        let provider = FloodServer::start().expect("a provider");
        let server = Server::start(&provider, decoder).await;
        let mut player = Player::connect(server.address).await;
        player.start("quiet").await;
        player.say("Report!").await;
        assert_eq!(player.wait_for("turn_end").await["status"], "success");
        let usual = server.peak_bytes();
        for flood in Flood::ALL {
            // A debug build takes long for each of them.
            let part = match flood {
                Flood::OneByteChunks => 32,
                Flood::Newlines | Flood::Comments => 4,
                Flood::Long | Flood::Ordinary => 1,
            };
            provider.set(decoder, flood, part);
            let turn = async {
                player.say("And now?").await;
                player.wait_within(PATIENCE, "turn_end").await;
            };
            let answers = answers_during(server.address, turn).await;
            println!("{decoder:?}, {flood:?}: /health was answered {answers} times meanwhile");
            // All of it is looked at, which takes a while: tens of answers, on a machine with nothing else
            // to do.
            let is_work = matches!(flood, Flood::Newlines | Flood::Comments);
            if is_work && decoder != Decoder::Audio {
                assert!(answers > 0, "{decoder:?}, {flood:?}");
            }
        }
        let kept = server.peak_bytes() - usual;
        println!("{decoder:?}: {kept} bytes more than usual at most");
        assert!(kept < KEPT_BYTES, "{decoder:?}: {kept}");
    }
}
