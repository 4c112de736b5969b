//! SIGHUP: what is read again, what is refused, and how an operator learns of both.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use da_testkit::server::ServerProgram;

const ENDPOINT: &str = "[[endpoint]]\nname = 'mine'\nkind = 'llm'\nhosts = ['mine.example']\n";
const SUCCEEDED: &str = "digital_actors_config_reloads_total{result=\"success\"}";
const FAILED: &str = "digital_actors_config_reloads_total{result=\"failure\"}";
const LAST: &str = "digital_actors_config_last_reload_successful";
const WHEN: &str = "digital_actors_config_last_reload_success_timestamp_seconds";

fn without_view(command: &mut Command) {
    command.env("DA_KERNEL__ENABLED", "false");
}

#[test]
fn a_bad_file_is_refused_with_its_line_and_a_good_one_taken() {
    let collector = ServerProgram::start(&["collect"], ENDPOINT, without_view);
    let [begun, succeeded] = [WHEN, SUCCEEDED].map(|series| collector.value(series));
    assert!(begun.expect("from the start") > 1e9 && succeeded == Some(0.0));
    assert_eq!(collector.value(LAST), Some(1.0));

    collector.reload(&format!("{ENDPOINT}\n[[endpoint]]\nname = 'other'\n"));
    collector.exposes(&format!("{FAILED} 1"));
    let said = collector.logged(&["\"ERROR\"", "so the endpoints are unchanged"]);
    assert!(said.contains("da.toml:6: missing field `kind`"), "{said}");
    assert_eq!(collector.value(LAST), Some(0.0));
    assert_eq!(collector.value(WHEN), begun, "the last success is the one before");

    collector.reload(&ENDPOINT.replace("mine.example", "not a host"));
    collector.exposes(&format!("{FAILED} 2"));
    let said = collector.logged(&["not a host"]);
    assert!(said.contains("da.toml:4: endpoint"), "{said}");

    collector.reload(&ENDPOINT.replace("mine", "yours"));
    collector.exposes(&format!("{SUCCEEDED} 1"));
    assert_eq!(collector.value(LAST), Some(1.0));
    assert!(collector.value(WHEN) > begun);
    assert_eq!(collector.value(FAILED), Some(2.0));
}

#[test]
fn what_is_listed_twice_is_told_or_refused() {
    let twice =
        "[[endpoint]]\nname = 'mine'\nkind = 'llm'\nhosts = ['mine.example', 'mine.example']\n";
    let collector = ServerProgram::start(&["collect"], twice, without_view);
    collector.logged(&["\"WARN\"", "endpoint \\\"mine\\\" lists host \\\"mine.example\\\" twice"]);

    collector.reload(&format!("{ENDPOINT}{}", ENDPOINT.replace("'mine'", "'yours'")));
    collector.exposes(&format!("{FAILED} 1"));
    let said = collector.logged(&["\"ERROR\"", "is listed by endpoint"]);
    assert!(said.contains("da.toml:8: endpoint"), "{said}");

    collector.reload(&format!("{ENDPOINT}addresses = ['10.0.0.1:0']\n"));
    collector.exposes(&format!("{FAILED} 2"));
    let said = collector.logged(&["has port 0"]);
    assert!(said.contains("da.toml:5: endpoint"), "{said}");

    collector.reload(&ENDPOINT.replace("mine.example", "api.anthropic.com"));
    collector.exposes(&format!("{SUCCEEDED} 1"));
    collector.logged(&["\"WARN\"", "from the built-in endpoint \\\"anthropic\\\""]);
}

#[test]
fn what_takes_a_restart_is_told() {
    let collector = ServerProgram::start(&["collect"], ENDPOINT, without_view);
    let moved = "listen = '127.0.0.1:1'\n[kernel]\nunlisted = 'other'\nmax_connections = 9\n\
                 [llm]\nmodel = 'm'\n";
    collector.reload(&format!("{moved}{ENDPOINT}"));
    collector.exposes(&format!("{SUCCEEDED} 1"));
    for key in ["listen", "kernel.max_connections"] {
        collector.logged(&[
            "\"WARN\"",
            &format!("{key} has changed, which takes effect after a restart"),
        ]);
    }
    let log = collector.log().join("\n");
    assert!(!log.contains("kernel.unlisted has changed"), "that is read again: {log}");
    assert!(!log.contains("llm.model has changed"), "that is the game's: {log}");
}

#[test]
fn the_game_reads_again_too_and_plays_on() {
    let game = ServerProgram::start(&["serve"], ENDPOINT, |command| {
        without_view(command);
        command.env("ANTHROPIC_API_KEY", "none");
    });
    game.reload(&format!("[llm]\nmodel = 'm'\n{ENDPOINT}"));
    game.exposes(&format!("{SUCCEEDED} 1"));
    game.logged(&["llm.model has changed, which takes effect after a restart"]);
    assert_eq!(game.get("/health").0, 200);
}

#[test]
fn without_a_file_a_terminal_that_goes_takes_the_program_with_it() {
    let program = ServerProgram::start(&["collect"], "", |command| {
        without_view(command);
        *command = without_configuration(command);
    });
    assert_eq!(program.value(LAST), Some(1.0));
    program.signal(libc::SIGHUP);
    let (status, log) = program.wait();
    assert_eq!(status.signal(), Some(libc::SIGHUP), "{log}");
}

/// The same command and environment with `collect` alone.
fn without_configuration(command: &Command) -> Command {
    let mut bare = Command::new(command.get_program());
    bare.arg("collect").env_clear().stderr(std::process::Stdio::piped());
    bare.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let as_by_default = || {
        // SAFETY: signal(2) is async-signal-safe and takes no pointer.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
        Ok(())
    };
    // What `nohup` ignores, its children ignore as well.
    // SAFETY: the function calls nothing else, and touches no memory of the process that forks.
    unsafe { bare.pre_exec(as_by_default) };
    bare
}
