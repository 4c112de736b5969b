//! Two servers that speak one protocol, the second behind the first: both halves tell them apart.

use da_standin::{Fault, Options, Plan, Standin, TlsMode};
use da_testkit::server::ServerProgram;

use super::own::{calls, joins, play};
use super::page::SCENE;
use crate::lab::cant_load;
use crate::turns::beside;
use da_testkit::programs::skip;

/// As many as open a circuit breaker, and two more.
const TURNS: usize = 12;
const FAILURES: usize = TURNS - 2;

/// A model whose answers say that so many requests are left.
async fn model(left: &str, fault: Option<Fault>) -> Standin {
    let limit = ("anthropic-ratelimit-requests-remaining".to_owned(), left.to_owned());
    let plan = Plan { chunks: Some(2), fault, headers: [limit].into(), ..Plan::default() };
    let options = Options { tls: TlsMode::Plain, plan, ..Options::default() };
    Standin::start(options).await.expect("a stand-in")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_has_a_name_limits_a_price_and_a_circuit_breaker_of_its_own() {
    let _turn = beside(["own.kernel.test"]);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let first = model("7", Some(Fault::Overloaded)).await;
    let second = model("9", None).await;
    let [from, to] = [&first, &second].map(|one| one.addr().to_string());
    let toml = format!(
        "[game]\nscenes_dir = \"scenes\"\nrequests_per_minute = 10000\n\
         [llm]\nbase_url = \"http://{from}\"\nmodel = \"m\"\nretry.max_retries = 0\n\
         breaker = {{ failures = {FAILURES}, cool_down_seconds = 600 }}\n\
         [[llm.fallback]]\nbase_url = \"http://{to}\"\nmodel = \"m\"\n\
         [tts]\nbase_url = \"http://{to}\"\n\
         [[price]]\nprovider = \"{to}\"\nmodel = \"m\"\ninput = 1\noutput = 1\n"
    );
    let program = ServerProgram::start(&["serve"], &toml, |command| {
        let folder = command.get_current_dir().expect("a folder").to_owned();
        std::fs::create_dir(folder.join("scenes")).expect("made");
        std::fs::write(folder.join("scenes/quiet.toml"), SCENE).expect("written");
        command.envs([("ANTHROPIC_API_KEY", "k"), ("ELEVENLABS_API_KEY", "k")]);
    });
    play(program.listens(1)[0], TURNS).await;

    // Of each turn: a call that failed, the one that went well, the voice.
    let calls = calls(&program, 3 * TURNS);
    let of = |provider: &str| {
        let of_model = calls.iter().filter(|call| call["kind"] == "llm");
        of_model.filter(|call| call["provider"] == provider).collect::<Vec<_>>()
    };
    assert_eq!((of(&from).len(), of(&to).len()), (TURNS, TURNS));
    // What the circuit breaker refuses has no socket.
    let all: Vec<_> = calls.iter().flat_map(joins).collect();
    let count = |join: &str| all.iter().filter(|one| **one == join).count();
    assert_eq!(count("joined"), FAILURES + 2 * TURNS, "{calls:#?}");
    assert_eq!((count("no_socket"), all.len()), (TURNS - FAILURES, 3 * TURNS), "{calls:#?}");

    let model =
        |labels: &str, provider: &str| format!("{{{labels}model=\"m\",provider=\"{provider}\"");
    let fell = |reason: &str, count: usize| {
        let labels = model("", &from);
        format!(
            "digital_actors_llm_fallbacks_total{labels},reason=\"{reason}\",to_model=\"m\",to_provider=\"{to}\"}} {count}"
        )
    };
    program.exposes(&fell("overloaded", FAILURES));
    program.exposes(&fell("circuit_open", TURNS - FAILURES));
    for (provider, left, state) in [(&from, 7, "open"), (&to, 9, "closed")] {
        let labels = model("kind=\"requests\",", provider);
        program.exposes(&format!("digital_actors_llm_rate_limit_remaining{labels}}} {left}"));
        let labels = model("kind=\"llm\",", provider);
        let breaker =
            format!("digital_actors_provider_breaker_state{labels},state=\"{state}\"}} 1");
        program.exposes(&breaker);
    }
    // The last call of each connection counts once its connection does something else.
    let (_, text) = program.get("/metrics");
    let exchanges = |provider: &str| {
        let series = format!(
            "digital_actors_socket_exchanges_total{{kind=\"llm\",outcome=\"ok\",provider=\"{provider}\"}} "
        );
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap_or_else(|| panic!("no {series}")).parse::<usize>().expect("a count")
    };
    assert!((FAILURES - 1..=FAILURES).contains(&exchanges(&from)), "{text}");
    assert!((2 * TURNS - 1..=2 * TURNS).contains(&exchanges(&to)), "{text}");
    let costs: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("digital_actors_llm_cost_usd_total{"))
        .collect();
    let priced = format!("digital_actors_llm_cost_usd_total{}}} 0.", model("", &to));
    assert!(costs.len() == 1 && costs[0].starts_with(&priced), "{costs:?}");
}
