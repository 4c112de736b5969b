//! A conversation with a model and a voice that we did not write. It downloads 250 MB and takes minutes,
//! so it runs when it is asked for: `cargo xtask test --real`.

mod player;
mod providers;

use std::time::Duration;

use da_testkit::server::ServerProgram;
use serde_json::Value;

use crate::lab::cant_load;
use da_testkit::programs::skip;
use player::{Player, Turn};
use providers::Provider;

/// What the player does. The character notices all of it.
enum Act {
    Say(&'static str),
    Press(&'static str),
}

const ACTS: [Act; 10] = [
    Act::Say("I am here, at the panel. Are you hurt?"),
    Act::Say("The oxygen is falling and there is water in the hull. What do I do first?"),
    Act::Press("reserve_air"),
    Act::Say("How high is the water where you are?"),
    Act::Press("bilge_pump"),
    Act::Say("I am not going anywhere. Tell me about the boat."),
    Act::Say("What did you hear when she struck the ridge?"),
    Act::Press("knock"),
    Act::Say("Will you release the ballast?"),
    Act::Say("The Halden is above us. What will you do when we are up?"),
];

/// What an operator of a slow machine with a talkative model would set.
fn configuration(model: &Provider, voice: &Provider) -> String {
    format!(
        "[game]\nmax_tokens = 60\n\
         [llm]\nprotocol = \"openai\"\nmodel = \"smollm2-135m-instruct\"\ncontext_tokens = 4096\n\
         base_url = \"{}/v1\"\ntimeouts.first_content_seconds = 60\ntimeouts.total_seconds = 120\n\
         [tts]\nprotocol = \"openai\"\nbase_url = \"{}/v1\"\nvoice = \"heart\"\noutput_format = \"pcm_24000\"\n\
         timeouts.first_content_seconds = 60\n",
        model.url, voice.url
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it downloads a model and takes minutes: `cargo xtask test --real`"]
async fn ten_turns_with_a_real_model_and_a_real_voice() {
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let logs = tempfile::tempdir().expect("a folder");
    let start = |name: &str| Provider::start(&format!("{name}.py"), &logs.path().join(name));
    let (model, voice) = (start("model"), start("voice"));
    let program = ServerProgram::start(&["serve"], &configuration(&model, &voice), |_| {});
    let mut player = Player::start(program.listens(1)[0], "submarine", 2).await;
    for act in ACTS {
        match act {
            Act::Say(line) => player.say(line).await,
            Act::Press(control) => player.press(control).await,
        }
    }
    let calls = calls(&program);
    print(&player.turns, &calls);

    for turn in &player.turns {
        let (status, _) = turn.end.as_ref().expect("it ended");
        assert_eq!(status, "success", "{turn:#?}");
        assert!(turn.audio_bytes > 0, "{turn:#?}");
    }
    let answers = player.turns.iter().filter(|turn| turn.after.is_some()).count();
    assert_eq!(answers, ACTS.len());
    assert!(calls.iter().all(|call| call["outcome"] == "success"), "{calls:#?}");
    let joins: Vec<_> = calls.iter().map(joins).collect();
    assert_eq!(joins.first(), Some(&vec!["joined"]), "{calls:#?}");
    assert_eq!(joins.last(), Some(&vec!["joined"]), "{calls:#?}");
}

/// All calls, in their order, once there are as many as the server has made.
fn calls(program: &ServerProgram) -> Vec<Value> {
    let made = || {
        let (_, text) = program.get("/metrics");
        let count = |line: &str| {
            let rest = line.strip_prefix("digital_actors_")?;
            let rest = rest.strip_prefix("llm").or_else(|| rest.strip_prefix("tts"))?;
            rest.strip_prefix("_latency_seconds_count{")?.rsplit_once(' ')?.1.parse::<usize>().ok()
        };
        text.lines().filter_map(count).sum::<usize>()
    };
    let known = || -> Vec<Value> {
        let (_, body) = program.get("/api/calls?limit=500&of=own");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        body["calls"].as_array().expect("calls").clone()
    };
    program.wait_for("all calls are known", || known().len() == made());
    let mut calls = known();
    calls.sort_by_key(|call| call["id"].as_u64());
    calls
}

/// How each attempt of a call was joined with its socket.
fn joins(call: &Value) -> Vec<&str> {
    let attempts = call["attempts"].as_array().expect("attempts").iter();
    attempts.map(|attempt| attempt["join"].as_str().expect("a result")).collect()
}

/// Prints each turn with its calls.
fn print(turns: &[Turn], calls: &[Value]) {
    println!(
        "turn  first text  first audio    whole  status   audio, s  characters  calls joined  after"
    );
    for (index, turn) in turns.iter().enumerate() {
        let next = turns.get(index + 1).map_or(u64::MAX, |next| next.began_unix_ms);
        let own = calls.iter().filter(|call| {
            let began = call["began_unix_ms"].as_u64().expect("a time");
            (turn.began_unix_ms..next).contains(&began)
        });
        let own: Vec<_> = own.flat_map(joins).collect();
        let joined = own.iter().filter(|join| **join == "joined").count();
        let seconds = |time: Option<Duration>| {
            time.map_or("-".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
        };
        let (status, whole) = turn.end.clone().unzip();
        println!(
            "{:>4} {:>11} {:>12} {:>8}  {:<8} {:>8.1} {:>11} {:>13}  {}",
            index + 1,
            seconds(turn.first_text),
            seconds(turn.first_audio),
            seconds(whole),
            status.unwrap_or_default(),
            turn.audio_bytes as f64 / 2.0 / 24_000.0,
            turn.text.chars().count(),
            format!("{joined} of {}", own.len()),
            turn.after.unwrap_or("nothing: it began by itself")
        );
    }
}
