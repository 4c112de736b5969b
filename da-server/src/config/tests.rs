use std::collections::BTreeSet;
use std::io::Write;

use super::*;

fn load(toml: &str, variables: &[(&str, &str)]) -> anyhow::Result<Config> {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(toml.as_bytes()).expect("written");
    let owned = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::load(Some(file.path()), owned)
}

fn refusal(toml: &str, variables: &[(&str, &str)]) -> String {
    format!("{:#}", load(toml, variables).expect_err("refused"))
}

#[test]
fn nothing_said_means_the_defaults() {
    let config = Config::load(None, []).expect("loads");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8888");
    assert!(config.metrics.listen.is_none());
}

#[test]
fn the_environment_lies_over_the_file() {
    let toml = "listen = '127.0.0.1:1'\n[log]\nlevel = 'warn'\nformat = 'json'\n";
    let variables = [("DA_LOG__LEVEL", "debug"), ("PORT", "2"), ("DA_GRACE_SECONDS", "3")];
    let config = load(toml, &variables).expect("loads");
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.listen.to_string(), "127.0.0.1:2");
    assert_eq!(config.grace_seconds, 3);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let empty = [("PORT", ""), ("LOG_LEVEL", " "), ("DA_LISTEN", "")];
    let config = load("[log]\nlevel = 'warn'", &empty).expect("loads");
    assert_eq!(config.log.level, "warn");
    assert_eq!(config.listen.port(), 8888);
}

#[test]
fn the_names_of_old_deployments_still_work() {
    let variables = [
        ("ELEVENLABS_MODEL", "eleven_turbo_v2"),
        ("ELEVENLABS_VOICE_ENGINEER", "12345"),
        ("ELEVENLABS_VOICE_WIZARD", ""),
        ("LOG_LEVEL", "INFO"),
    ];
    let config = load("[game.voices]\nwizard = 'w'", &variables).expect("loads");
    assert_eq!(config.tts.model(), "eleven_turbo_v2");
    assert_eq!(config.game.voices["engineer"], "12345", "a number is a name here");
    assert_eq!(config.game.voices["wizard"], "w");
    assert_eq!(config.log.level, "INFO");
}

#[test]
fn the_database_is_of_the_environment_and_stays_a_secret() {
    let url = "postgres://da:very-secret@db/game";
    let config = load("[store]\nurl_file = '/run/url'", &[("DATABASE_URL", url)]).expect("loads");
    let shown = format!("{config:?}");
    assert!(shown.contains("postgres://da@db:5432/game"), "{shown}");
    assert!(!shown.contains("very-secret"), "{shown}");
    assert!(load("", &[("DATABASE_URL", " ")]).expect("loads").store.url.is_none());
    let message = refusal("", &[("DATABASE_URL", "mysql://da:very-secret@db/game")]);
    assert!(
        message.starts_with("DATABASE_URL: ") && message.contains("use postgres://"),
        "{message}"
    );
    assert!(!message.contains("very-secret"), "{message}");
    let message = refusal(&format!("[store]\nurl = '{url}'"), &[]);
    assert!(message.contains("unknown field `url`") && message.contains("url_file"), "{message}");
    assert!(!message.contains("very-secret"), "{message}");
}

#[test]
fn an_unknown_key_is_refused_with_where_it_stands_and_what_is_allowed() {
    let message = refusal("[metrics]\nlisten_to = '127.0.0.1:1'", &[]);
    assert!(message.contains("listen_to") && message.contains("bearer_token_file"), "{message}");
    assert!(message.contains(":2: "), "{message}");
}

#[test]
fn a_mistyped_variable_is_named_as_it_is_written() {
    let message = refusal("", &[("DA_METRICS__LISTEN", "nowhere")]);
    assert!(message.contains("DA_METRICS__LISTEN"), "{message}");
    let message = refusal("", &[("LOG_FORMAT", "xml")]);
    assert!(message.contains("LOG_FORMAT") && message.contains("`json`"), "{message}");
    assert!(refusal("", &[("PORT", "http")]).contains("PORT=\"http\""));
    assert!(refusal("", &[("DA_LOG__LEVLE", "x")]).contains("levle"));
}

#[test]
fn a_variable_that_sets_nothing_is_reported() {
    let slips = [("DA_LLM_MODEL", "x"), ("DA_OTHER", "y"), ("DA_LLM__MODEL", "z")];
    let config = load("", &slips).expect("loads");
    assert_eq!(config.unknown_variables, ["DA_LLM_MODEL", "DA_OTHER"]);
    assert_eq!(config.llm.model(), "z");
}

#[test]
fn a_variable_of_the_build_or_the_tests_is_no_slip() {
    let theirs = ["DA_EBPF_OBJECT", "DA_COMMIT", "DA_TEST_OUTPUT"];
    let config = load("", &theirs.map(|name| (name, "1"))).expect("loads");
    assert!(config.unknown_variables.is_empty(), "{:?}", config.unknown_variables);
}

#[test]
fn a_missing_file_is_an_error_not_the_defaults() {
    let message = Config::load(Some(Path::new("/nonexistent/da.toml")), []).expect_err("refused");
    assert!(format!("{message:#}").contains("/nonexistent/da.toml"), "{message:#}");
}

#[test]
fn a_number_out_of_range_is_refused_with_where_it_stands() {
    let message = refusal("", &[("DA_GAME__QUEUE_ENTRIES", "0")]);
    let expected = "DA_GAME__QUEUE_ENTRIES: game.queue_entries = 0: use 1 to 1000";
    assert_eq!(message, expected);
    let message = refusal("[game]\nqueue_entries = 0\n", &[]);
    assert!(message.ends_with(":2: game.queue_entries = 0: use 1 to 1000"), "{message}");
    let message = refusal("[kernel]\nring_bytes = 1\n", &[("DA_GAME__QUEUE_ENTRIES", "2")]);
    assert!(message.contains(":2: kernel.ring_bytes = 1: "), "{message}");
}

#[test]
fn a_fallback_that_makes_no_sense_is_refused_at_load() {
    let fallback = "[[llm.fallback]]\nprotocol = 'openai'\n";
    assert_eq!(load(fallback, &[]).expect("loads").llm.fallback.len(), 1);
    let message = refusal(&fallback.repeat(2), &[]);
    assert!(message.contains(":3: ") && message.contains("in the list already"), "{message}");
    let message = refusal(&format!("{fallback}max_concurrent = 0\n"), &[]);
    assert!(
        message.ends_with(":3: llm.fallback.0.max_concurrent = 0: use 1 to 1000000"),
        "{message}"
    );
    let variable = [("DA_LLM__FALLBACK", "[{protocol=\"openai\", max_concurrent=0}]")];
    let message = refusal("", &variable);
    assert!(message.starts_with("DA_LLM__FALLBACK: "), "{message}");
}

#[test]
fn voices_and_their_fallbacks_are_checked_at_load() {
    let fallback = "[[tts.fallback]]\nprotocol = 'openai'\nvoices = { clippy = 'nova' }\n";
    let config = load(fallback, &[]).expect("loads");
    assert_eq!(config.tts.fallback[0].voices["clippy"], "nova");
    let message = refusal(&fallback.repeat(2), &[]);
    assert!(message.contains(":4: ") && message.contains("in the list already"), "{message}");
    let message = refusal(&format!("{fallback}max_concurrent = 0\n"), &[]);
    assert!(
        message.ends_with(":4: tts.fallback.0.max_concurrent = 0: use 1 to 1000000"),
        "{message}"
    );
    let message = refusal(&format!("{fallback}output_format = 'ulaw_8000'\n"), &[]);
    assert!(message.contains(":4: ") && message.contains("can't be had from openai"), "{message}");
    let message = refusal("[tts]\noutput_format = 'loud'\n", &[]);
    assert!(message.contains(":2: ") && message.contains("\"loud\" is unknown"), "{message}");
    let variables = [("DA_TTS__VOICES__CLIPPY", "onyx"), ("DA_TTS__PROTOCOL", "openai")];
    assert_eq!(load("", &variables).expect("loads").tts.voices["clippy"], "onyx");
}

#[test]
fn a_price_that_nobody_pays_is_refused_at_load() {
    let price = "[[price]]\nprovider = 'openai'\nmodel = 'm'\ninput = 1\noutput = 2\n";
    assert_eq!(load(price, &[]).expect("loads").price[0].output, 2.0);
    let message = refusal(&price.replace("input = 1", "input = -1"), &[]);
    assert!(message.contains(":1: ") && message.contains("dollars per million"), "{message}");
    let message = refusal(&format!("{price}{price}"), &[]);
    assert!(message.contains(":6: ") && message.contains("listed twice"), "{message}");
    let of_a_host = load(&price.replace("openai", "127.0.0.1:8000"), &[]).expect("loads");
    assert_eq!(of_a_host.price[0].provider, "127.0.0.1:8000");
}

#[test]
fn an_endpoint_that_could_never_match_is_refused_at_load() {
    let good = "[[endpoint]]\nname = 'x'\nkind = 'llm'\nhosts = ['a.example']\n";
    let message = refusal(&format!("{good}[[endpoint]]\nname = 'y'\nkind = 'llm'"), &[]);
    assert!(
        message.contains(":5: ") && message.contains("neither hosts nor addresses"),
        "{message}"
    );
    let message = refusal(&format!("{good}{good}"), &[]);
    assert!(message.contains(":6: ") && message.contains("listed twice"), "{message}");
    let message = refusal(&good.replace("a.example", "a b"), &[]);
    assert!(message.contains(":4: ") && message.contains("a b"), "{message}");
    let message = refusal(&format!("{good}{}", good.replace("'x'", "'y'")), &[]);
    assert!(message.contains(":8: ") && message.contains("listed by endpoint \"x\""), "{message}");
    let message = refusal(&good.replace("a.example", "10.0.0.5:8000"), &[]);
    assert!(message.contains(":4: ") && message.contains("list it in addresses"), "{message}");
    let message = refusal(&format!("{good}addresses = ['10.0.0.1:0']"), &[]);
    assert!(message.contains(":5: ") && message.contains("port 0"), "{message}");
}

/// The keys below `header`, as a refusal lists them; `None` if it is no table of settings.
fn known_keys(header: &str) -> Option<Vec<String>> {
    let error = toml::from_str::<Config>(&format!("{header}\nno_such_key = 1")).err()?;
    let known = error.message().strip_prefix("unknown field `no_such_key`")?;
    Some(known.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Every setting below `table`, by its whole key.
fn settings(table: &str) -> BTreeSet<String> {
    let header = if table.is_empty() { String::new() } else { format!("[{table}]") };
    let Some(keys) = known_keys(&header) else { return BTreeSet::from([table.to_owned()]) };
    let whole = |key: String| if table.is_empty() { key } else { format!("{table}.{key}") };
    keys.into_iter().flat_map(|key| settings(&whole(key))).collect()
}

#[test]
fn the_documentation_has_every_setting_and_no_other() {
    const ARRAYS: [&str; 2] = ["endpoint", "price"];
    let documentation = include_str!("../../../docs/CONFIGURATION.md");
    let documented: BTreeSet<String> = documentation
        .split("| key | default | meaning |\n")
        .skip(1)
        .flat_map(|table| table.lines().take_while(|line| line.starts_with('|')))
        .filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    let mut settings = settings("");
    // The last is only known in order to say what is meant instead.
    settings.retain(|key| !ARRAYS.contains(&key.as_str()) && !key.ends_with(".provider"));
    // One table is about both providers.
    let of_a_provider =
        |key: &str| key.strip_prefix("llm.").or(key.strip_prefix("tts.")).map(str::to_owned);
    let settings: BTreeSet<String> =
        settings.into_iter().map(|key| of_a_provider(&key).unwrap_or(key)).collect();
    assert_eq!(documented, settings);
    for array in ARRAYS {
        for key in known_keys(&format!("[[{array}]]")).expect("a table") {
            let is_shown = documentation.lines().any(|line| {
                line.strip_prefix(&key).is_some_and(|rest| rest.trim_start().starts_with('='))
            });
            assert!(is_shown, "[[{array}]] has {key}");
        }
    }
}
