//! The whole program, played by its page, and what its page of calls then says of both sides.

use std::fmt::Write;
use std::process::Command;

use da_standin::{DEFAULT_NAMES, Delay, Fault, Options, Plan, Standin};
use da_testkit::browser::Browser;
use da_testkit::server::ServerProgram;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::cant_load;
use crate::turns::beside;
use da_testkit::programs::skip;

/// What the slow call waits for its provider: longer than all else takes, however busy the machine is.
const SLOW_MS: f64 = 5_000.0;
const HANDSHAKE_MS: f64 = 80.0;
/// The page rounds to three digits.
const ROUNDED: f64 = 0.01;

pub const SCENE: &str = r#"
title = "Quiet"
description = "Nobody speaks first."
[character]
id = "listener"
name = "Lis"
description = "Listens."
back_story = "None."
instructions = "Answer."
emotion_style = "calm"
voice = "v"
"#;

fn config(standin: &Standin, folder: &TempDir) -> String {
    let (ca_file, scenes) = (folder.path().join("ca.pem"), folder.path().join("scenes"));
    std::fs::write(&ca_file, standin.ca_pem()).expect("written");
    std::fs::create_dir(&scenes).expect("made");
    std::fs::write(scenes.join("quiet.toml"), SCENE).expect("written");
    let (llm, tts, port) = (DEFAULT_NAMES[0], DEFAULT_NAMES[2], standin.addr().port());
    let mut toml = format!(
        "[game]\nscenes_dir = {scenes:?}\n\
         [llm]\nbase_url = \"https://{llm}:{port}\"\n[tts]\nbase_url = \"https://{tts}:{port}\"\n\
         [http_client]\nca_file = {ca_file:?}\n[http_client.resolve]\n"
    );
    for name in DEFAULT_NAMES {
        writeln!(toml, "\"{name}\" = \"{}\"", standin.addr()).expect("a line");
    }
    toml
}

/// A model that answers after so long, in pieces; the first one of its names is the model's.
fn plan(first_byte_ms: f64) -> Plan {
    // One sentence, which is one call to the voice.
    let text = "The water is at my knees now, so open the reserve air before anything else.";
    Plan {
        handshake_ms: Delay::Fixed(HANDSHAKE_MS),
        first_byte_ms: Delay::Fixed(first_byte_ms),
        between_chunks_ms: Delay::Fixed(35.0),
        text: Some(text.to_owned()),
        ..Plan::default()
    }
}

/// Four lines: one answered late, one at the second attempt, and two as usual.
async fn play(browser: &Browser, server: &str, standin: &Standin) {
    browser.client.goto(server).await.expect("page");
    browser.see("[data-scene=quiet]").await.click().await.expect("started");
    browser.until("document.querySelector('#connection').dataset.state === 'on'").await;
    let fault = Fault::RateLimited { retry_after: None, retry_after_ms: Some(300) };
    let plans = [
        plan(SLOW_MS),
        Plan { fault: Some(fault), fault_count: Some(1), ..plan(250.0) },
        plan(380.0),
        plan(310.0),
    ];
    let voice = Plan { first_byte_ms: Delay::Fixed(160.0), text: None, ..plan(160.0) };
    standin.set_plan_for(DEFAULT_NAMES[2], voice);
    for (index, plan) in plans.into_iter().enumerate() {
        standin.set_plan_for(DEFAULT_NAMES[0], plan);
        browser.see("#line").await.send_keys("Hello").await.expect("typed");
        browser.see("#send").await.click().await.expect("sent");
        let answered = format!(
            "document.querySelectorAll('#log .line.character:not(.thinking)').length === {} && \
             document.querySelector('#stop').hidden",
            index + 1
        );
        browser.until(&answered).await;
    }
}

/// All attempts of all calls, once there are so many calls.
fn attempts(program: &ServerProgram, calls: usize) -> Vec<Value> {
    let known = || {
        let (status, body) = program.get("/api/calls?of=own");
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        body["calls"].as_array().expect("calls").clone()
    };
    program.wait_for("all calls are known", || known().len() >= calls);
    let attempts = |call: Value| call["attempts"].as_array().expect("attempts").clone();
    known().into_iter().flat_map(attempts).collect()
}

/// What a phase took, as the page of a call has it, ms.
async fn took_ms(browser: &Browser, phase: &str) -> f64 {
    let cell =
        format!("document.querySelector('tr[data-phase={phase}] td:nth-child(3)').textContent");
    let text = browser.evaluate(&cell).await.as_str().expect("text").to_owned();
    let (number, unit) = text.split_once(' ').expect("number and unit");
    let number: f64 = number.parse().expect("a number");
    number * if unit == "s" { 1e3 } else { 1.0 }
}

/// The list, and the call on top of it; the latter in a window so high.
async fn look(browser: &Browser, server: &str, (width, height): (u32, u32)) {
    browser.client.goto(&format!("{server}calls?of=own")).await.expect("page");
    browser.see("#slowest li:first-child .call").await;
    let overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
    assert_eq!(browser.evaluate(overflow).await, json!(false), "nothing sticks out at the side");
    browser.screenshot(&format!("joined-calls-{width}")).await;
    browser.see("#slowest li:first-child .call").await.click().await.expect("clicked");
    browser.see("table.phases").await;
    assert_eq!(browser.evaluate(overflow).await, json!(false), "nothing sticks out at the side");
    browser.client.set_window_size(width, height).await.expect("a window");
    browser.screenshot(&format!("joined-call-{width}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_call_is_on_top_of_the_page_and_both_sides_say_where_its_time_went() {
    let _turn = beside(DEFAULT_NAMES);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let Some(browser) = Browser::open(1280, 900).await else { return };
    let standin = Standin::start(Options::default()).await.expect("a stand-in");
    let folder = tempfile::tempdir().expect("a folder");
    let program = ServerProgram::start(&["serve"], &config(&standin, &folder), |command| {
        command.envs([("ANTHROPIC_API_KEY", "k"), ("ELEVENLABS_API_KEY", "k")]);
    });
    let server = format!("http://{}/", program.listens(1)[0]);
    play(&browser, &server, &standin).await;
    let attempts = attempts(&program, 8);
    assert_eq!(attempts.len(), 9, "one was made again");
    assert!(attempts.iter().all(|attempt| attempt["join"] == "joined"), "{attempts:#?}");

    look(&browser, &server, (1280, 1390)).await;
    let slowest = attempts.iter().max_by_key(|attempt| attempt["phases"]["wait"].as_u64());
    let phases = slowest.expect("attempts")["phases"].as_object().expect("phases");
    let in_ms = |phase: &str| phases[phase].as_f64().expect("a time") / 1e6;
    for (phase, injected_ms) in [("wait", SLOW_MS), ("tls", HANDSHAKE_MS)] {
        let (shown_ms, told_ms) = (took_ms(&browser, phase).await, in_ms(phase));
        assert!(told_ms >= injected_ms, "{phase}: {told_ms} ms");
        assert!((shown_ms / told_ms - 1.0).abs() < ROUNDED, "{phase}: {shown_ms}, {told_ms} ms");
    }
    // Nothing else was put in that comes near it.
    let longest = phases.keys().max_by_key(|phase| phases[*phase].as_u64());
    assert_eq!(longest.map(String::as_str), Some("wait"), "{phases:?}");
    assert_eq!(
        browser.evaluate("document.querySelectorAll('.coarse').length").await,
        json!(1),
        "the legend's"
    );
    let facts = "document.querySelector('.facts').textContent";
    let facts = browser.evaluate(facts).await.as_str().expect("text").to_owned();
    for fact in ["TLS 1.3", "fresh: this attempt paid for it", "number 1 on it", "200"] {
        assert!(facts.contains(fact), "{fact}: {facts}");
    }
    browser.close().await;

    let shown =
        Command::new(env!("CARGO_BIN_EXE_da-server")).args(["calls", "--own", &server]).output();
    let shown = String::from_utf8(shown.expect("ran").stdout).expect("text");
    println!("{shown}");
    assert_eq!(shown.lines().filter(|line| line.contains(" success, ")).count(), 8);
    assert!(!shown.contains("application alone"));

    let Some(phone) = Browser::open(360, 780).await else { return };
    look(&phone, &server, (360, 780)).await;
    phone.close().await;
}
