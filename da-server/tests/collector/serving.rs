//! What the collector serves, and what it takes from the configuration of a game.

use da_testkit::server::{ServerProgram, command, get, get_by_name};
use serde_json::Value;

/// Starts a collector that is not to load programs.
fn collector(toml: &str) -> ServerProgram {
    ServerProgram::start(&["collect"], toml, |command| {
        command.env("DA_KERNEL__ENABLED", "false");
    })
}

#[test]
fn it_needs_no_key_and_serves_what_it_has() {
    let collector = collector("");
    let (status, metrics) = collector.get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("\ndigital_actors_ebpf_up 0\n"), "{metrics}");
    assert!(metrics.contains("digital_actors_ebpf_unavailable{reason=\"disabled\"} 1"));
    assert!(metrics.contains("\nprocess_cpu_seconds_total "), "{metrics}");
    assert!(!metrics.contains("digital_actors_active_sessions"), "that is the game's: {metrics}");

    let (status, health) = collector.get("/health");
    assert_eq!(status, 200);
    let health: Value = serde_json::from_str(&health).expect("JSON");
    assert_eq!(health["kernel"]["why"], "disabled");
    for of_the_game in ["/", "/ws", "/api/config"] {
        assert_eq!(collector.get(of_the_game).0, 404, "{of_the_game}");
    }
    let said = collector.logged(&["\"ERROR\"", "nothing is collected"]);
    assert!(said.contains("kernel.enabled is false"), "{said}");

    collector.signal(libc::SIGTERM);
    let (status, log) = collector.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_games_configuration_will_do() {
    let game = "[llm]\nprotocol = 'openai'\n[game]\nqueue_entries = 4\n[log]\nlevel = 'info'\n";
    let collector = collector(game);
    for section in ["llm", "game"] {
        collector.logged(&[&format!("ignoring [{section}]")]);
    }
    let log = collector.log().join("\n");
    for other in ["[log]", "[store]", "[kernel]"] {
        assert!(!log.contains(other), "{other} is not there, or not the game's: {log}");
    }
}

#[test]
fn a_mistake_in_the_configuration_ends_it_before_it_begins() {
    let (mut command, _folder) = command(&["collect"], "[kernel]\nmax_connections = 0\n");
    let output = command.output().expect("ran");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("kernel.max_connections = 0: use 1 to"), "{said}");
}

#[test]
fn metrics_have_the_same_doors_as_the_games() {
    let token = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(token.path(), "sesame\n").expect("written");
    let collector = collector(&format!(
        "[metrics]\nlisten = '127.0.0.1:0'\nbearer_token_file = {:?}\n",
        token.path()
    ));
    let [main, metrics] = collector.listens(2)[..] else { panic!("two listeners") };
    assert_eq!(get(main, "/metrics", "").0, 404);
    assert_eq!(get(main, "/health", "").0, 200);
    assert_eq!(get(metrics, "/health", "").0, 200);
    assert_eq!(get(metrics, "/metrics", "").0, 401);
    assert_eq!(get(metrics, "/metrics", "authorization: Bearer sesame\r\n").0, 200);
}

/// A Prometheus on the same machine may scrape by the host's name, which `/etc/hosts` often has as a
/// loopback address; another name is one that the operator lists.
#[test]
fn a_collector_on_loopback_answers_under_names_of_this_machine_and_those_that_are_listed() {
    let program = collector(
        "[metrics]\nlisten = '127.0.0.1:0'\n\
         [websocket]\nallowed_origins = ['https://scrapes.example']\n",
    );
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("the host's name");
    let name = name.trim_end();
    for (at, path) in program.listens(2).into_iter().zip(["/health", "/metrics"]) {
        let port = at.port();
        for own in ["localhost", "localhost.", name, "scrapes.example"] {
            assert_eq!(get_by_name(at, &format!("{own}:{port}"), path, "").0, 200, "{own}");
        }
        let (status, body) = get_by_name(at, &format!("evil.example:{port}"), path, "");
        assert_eq!(status, 403, "{body}");
        assert!(body.contains("host_refused") && body.contains("allowed_origins"), "{body}");
    }
    let log = program.logged(&["ignoring [websocket]"]);
    assert!(log.contains("allowed_origins"), "the rest of it means something here: {log}");
}
