//! A process that is stopped for a while: what it could not hear meanwhile is nobody else's fault.

use std::process::Child;
use std::time::Duration;

use da_server::provider::{HttpConfig, http_client};
use da_standin::{Event, Fault, Options, Plan, Standin};
use da_testkit::player::Player;
use da_testkit::scenes::test_scenes;
use da_testkit::scrape::Scrape;

use crate::binary::{address_of, start};
use crate::server::{LLM, PATIENCE};

/// How long the model may take for its first word, and how long the process is stopped.
const FIRST_CONTENT: Duration = Duration::from_secs(2);
const STOPPED: Duration = Duration::from_secs(4);

/// Ends with the test, even where it is stopped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }
}

fn requests(standin: &Standin) -> usize {
    let log = standin.log();
    let of_model = log.iter().filter(|entry| entry.name.as_deref() == Some(LLM));
    of_model.filter(|entry| matches!(entry.event, Event::Request { .. })).count()
}

#[tokio::test]
async fn a_time_out_that_passes_in_a_stopped_process_opens_no_breaker() {
    let standin = Standin::start(Options::default()).await.expect("stand-in");
    let folder = tempfile::tempdir().expect("folder");
    let settings = [
        ("DA_LLM__TIMEOUTS__FIRST_CONTENT_SECONDS", FIRST_CONTENT.as_secs().to_string()),
        ("DA_LLM__RETRY__MAX_RETRIES", "0".to_owned()),
        ("DA_LLM__BREAKER__FAILURES", "1".to_owned()),
        ("DA_LLM__BREAKER__COOL_DOWN_SECONDS", "3600".to_owned()),
    ];
    let scenes = test_scenes(&folder).display().to_string();
    let settings = [&settings[..], &[("DA_GAME__SCENES_DIR", scenes)]].concat();
    let mut server = Server(start(&standin, &folder, &settings));
    let log = server.0.stderr.take().expect("log");
    let (address, _log) = tokio::task::spawn_blocking(move || address_of(log)).await.expect("read");
    let mut player = Player::connect(address).await;
    player.start("quiet").await;

    standin.set_plan_for(LLM, Plan { fault: Some(Fault::Hang), ..Plan::default() });
    let asked = requests(&standin);
    player.say("Are you there?").await;
    let reached = async {
        while requests(&standin) == asked {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("the model is asked");
    let signal = |signal| {
        // SAFETY: sends a signal to the child that this test started and has not waited for.
        assert_eq!(unsafe { libc::kill(server.0.id().cast_signed(), signal) }, 0);
    };
    signal(libc::SIGSTOP);
    tokio::time::sleep(STOPPED).await;
    signal(libc::SIGCONT);
    assert_eq!(player.hear_turn().await.error_codes(), ["llm_timeout"]);

    standin.set_plan_for(LLM, Plan::default());
    player.say("And now?").await;
    assert_eq!(player.hear_turn().await.status, "success");
    let url = format!("http://{address}/metrics");
    let http = http_client(&HttpConfig::default()).expect("client");
    let scraped = http.get(url).send().await.expect("answer").text().await.expect("text");
    let opened = Scrape::parse(&scraped).sum("provider_breaker_transitions_total");
    assert_eq!(opened, 0.0, "it stayed closed");
}
