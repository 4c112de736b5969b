//! The log of slow calls: one line each, with where the time went and nothing of what was said.

use std::collections::BTreeSet;

use da_server::calls::{Call, Phase};
use da_standin::{DEFAULT_NAMES, Delay, Fault, Options, Plan, Standin};
use da_testkit::player::Player;
use da_testkit::scenes::test_scenes;
use da_testkit::server::ServerProgram;
use serde_json::Value;

use crate::server::{LLM, TTS};

const KEY: &str = "key-that-nobody-may-see";
const SLOW_SECONDS: f64 = 1.0;
/// What the slow call waits for its provider, and between its attempts.
const WAIT_MS: f64 = 1_200.0;
const BACK_OFF_MS: f64 = 200.0;

fn config(standin: &Standin, folder: &tempfile::TempDir) -> String {
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, standin.ca_pem()).expect("written");
    let (scenes, port) = (test_scenes(folder), standin.addr().port());
    let resolve =
        DEFAULT_NAMES.map(|name| format!("\"{name}\" = \"{}\"\n", standin.addr())).concat();
    format!(
        "[game]\nscenes_dir = {scenes:?}\n[kernel]\nenabled = false\n\
         [calls]\nslow_seconds = {SLOW_SECONDS:?}\n\
         [llm]\nbase_url = \"https://{LLM}:{port}\"\n[tts]\nbase_url = \"https://{TTS}:{port}\"\n\
         [http_client]\nca_file = {ca_file:?}\n[http_client.resolve]\n{resolve}"
    )
}

/// Two turns: the first one's model is slow, and asked twice.
async fn play(program: &ServerProgram, standin: &Standin) {
    let plan = Plan { text: Some("Answered-in-confidence.".to_owned()), ..Plan::default() };
    let slow = Plan {
        first_byte_ms: Delay::Fixed(WAIT_MS),
        fault: Some(Fault::RateLimited {
            retry_after: None,
            retry_after_ms: Some(BACK_OFF_MS as u64),
        }),
        fault_count: Some(1),
        ..plan.clone()
    };
    let mut player = Player::connect(program.listens(1)[0]).await;
    player.start("quiet").await;
    for plan in [slow, plan] {
        standin.set_plan_for(LLM, plan);
        player.say("Asked-in-confidence").await;
        assert_eq!(player.hear_turn().await.text(), "Answered-in-confidence.");
    }
}

/// Each says the same as the API says of its call, and nothing beside it.
fn agree(line: &Value, call: &Call) {
    let phases = call.phases();
    let ms = |ns: u64| Some(ns as f64 / 1e6);
    for (phase, ns) in phases.iter() {
        assert_eq!(line[format!("{}_ms", phase.as_str())].as_f64(), ms(ns), "{phase:?}: {line}");
    }
    assert_eq!(line["duration_ms"].as_f64(), ms(call.duration_ns));
    assert_eq!(line["back_off_ms"].as_f64(), ms(call.duration_ns - phases.sum_ns()));
    assert_eq!(line["attempts"].as_u64(), Some(call.attempts.len() as u64));
    let join = call.attempts.last().expect("an attempt").join;
    for (key, value) in [
        ("level", "WARN"),
        ("kind", call.kind.as_str()),
        ("provider", &call.provider),
        ("model", call.model.as_deref().expect("a model")),
        ("outcome", call.outcome.as_str()),
        ("join", join.as_str()),
    ] {
        assert_eq!(line[key], value, "{key}: {line}");
    }
    let keys: BTreeSet<_> = line.as_object().expect("an object").keys().cloned().collect();
    let own = ["timestamp", "level", "target", "message", "call_id", "kind", "provider", "model"];
    let rest = ["outcome", "attempts", "join", "duration_ms", "back_off_ms"];
    let mut all: BTreeSet<_> = own.into_iter().chain(rest).map(str::to_owned).collect();
    all.extend(Phase::ALL.map(|phase| format!("{}_ms", phase.as_str())));
    assert_eq!(keys, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_call_is_one_line_of_the_log_with_its_phases_and_counted() {
    let standin = Standin::start(Options::default()).await.expect("a stand-in");
    let folder = tempfile::tempdir().expect("a folder");
    let program = ServerProgram::start(&["serve"], &config(&standin, &folder), |command| {
        command.envs([("ANTHROPIC_API_KEY", KEY), ("ELEVENLABS_API_KEY", KEY)]);
    });
    play(&program, &standin).await;
    let calls = || -> Vec<Call> {
        let (status, body) = program.get("/api/calls?of=own");
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        serde_json::from_value(body["calls"].clone()).expect("calls")
    };
    program.wait_for("a model and a voice, twice", || calls().len() == 4);
    let calls = calls();
    let is_slow = |call: &&Call| call.duration_ns as f64 > SLOW_SECONDS * 1e9;
    let slow: Vec<_> = calls.iter().filter(is_slow).collect();
    for call in &slow {
        program.logged(&["slow call", &format!("\"call_id\":{},", call.id)]);
    }
    let log = program.log();
    let lines = log.iter().map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<Value> = lines.filter(|line: &Value| line["message"] == "slow call").collect();

    assert!((1..calls.len()).contains(&slow.len()), "some are, and some are not: {calls:#?}");
    assert_eq!(lines.len(), slow.len(), "one line each: {log:#?}");
    for call in &slow {
        let line = lines.iter().find(|line| line["call_id"].as_u64() == Some(call.id));
        agree(line.expect("a line"), call);
    }
    let first = lines.iter().find(|line| line["attempts"] == 2).expect("that of the first turn");
    assert!(first["wait_ms"].as_f64() >= Some(WAIT_MS), "{first}");
    assert!(first["back_off_ms"].as_f64() >= Some(BACK_OFF_MS), "{first}");
    for (kind, provider) in [("llm", "anthropic"), ("tts", "elevenlabs")] {
        let series = format!("call_slow_total{{kind=\"{kind}\",provider=\"{provider}\"}}");
        let counted = program.value(&format!("digital_actors_{series}"));
        let of_kind = slow.iter().filter(|call| call.kind.as_str() == kind).count();
        assert_eq!(counted, Some(of_kind as f64), "{kind}");
    }
    for word in ["in-confidence", KEY] {
        assert_eq!(log.iter().find(|line| line.contains(word)), None, "{word} is in the log");
    }
}
