//! Running other programs, each shown before it runs.

use std::env;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// `cargo SUBCOMMAND`, as the caller of this program would start it.
pub fn cargo(subcommand: &str) -> Command {
    let mut command = as_caller(Command::new("cargo"));
    command.arg(subcommand);
    command
}

/// `command` without what the `cargo run` that started this program put into the environment.
/// Build scripts watch those variables: with them, what the caller's own cargo built would be
/// built again, and then again by the caller's.
pub fn as_caller(mut command: Command) -> Command {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Says in a sentence what is about to be done.
pub fn step(what: &str) {
    eprintln!("\n==> {what}");
}

/// Shows `command` as one could type it and runs it.
///
/// # Errors
/// If it cannot be started or does not exit with 0.
pub fn run(command: &mut Command) -> Result<()> {
    eprintln!("    $ {}", as_typed(command));
    let status = command.status().with_context(|| format!("cannot start {}", program(command)))?;
    if !status.success() {
        bail!("failed ({status}): {}", as_typed(command));
    }
    Ok(())
}

/// Like [`run`], and returns what the program says on standard output.
pub fn run_and_read(command: &mut Command) -> Result<String> {
    eprintln!("    $ {}", as_typed(command));
    let Output { status, stdout, .. } = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", program(command)))?;
    if !status.success() {
        bail!("failed ({status}): {}", as_typed(command));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Like [`run`], and returns what the program says on standard error where it fails: why.
pub fn run_or_why(command: &mut Command) -> std::result::Result<(), String> {
    eprintln!("    $ {}", as_typed(command));
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said =
                String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            eprint!("{said}");
            Err(said.into_owned())
        }
        Err(error) => Err(format!("cannot start {}: {error}", program(command))),
    }
}

/// Runs `command` unshown, for a question that changes nothing, and returns its standard output;
/// `None` if it could not be started or did not exit with 0.
pub fn answer(command: &mut Command) -> Option<String> {
    let Output { status, stdout, .. } = command.stdin(Stdio::null()).output().ok()?;
    status.success().then(|| String::from_utf8_lossy(&stdout).trim().to_owned())
}

/// `command` as a line for a shell, with the variables that it sets in front.
pub fn as_typed(command: &Command) -> String {
    let variables =
        command.get_envs().filter_map(|(name, value)| Some((name, value?))).map(|(name, value)| {
            format!("{}={}", name.to_string_lossy(), quoted(&value.to_string_lossy()))
        });
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quoted(&word.to_string_lossy()));
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

/// `word` quoted for a shell. One that holds a NUL, which no command line can, is left as it is.
fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), |quoted| quoted.into_owned())
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// Whether this runs in continuous integration, where what can't be looked at is a failure.
pub fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted_into_a_shell() {
        let mut command = Command::new("printf");
        command.arg("%s|%s").args(["two words", "it's $HOME"]).env("GREETING", "good day");
        let line = format!("{} && printf '|%s' \"$GREETING\"", as_typed(&command));
        let replayed = answer(Command::new("sh").args(["-c", &line]));
        // The variable holds for the first program only, so the second prints nothing for it.
        assert_eq!(replayed.as_deref(), Some("two words|it's $HOME|"));
        assert!(as_typed(&command).starts_with("GREETING='good day' printf "));
    }

    #[test]
    fn nothing_of_the_cargo_that_runs_us_is_handed_on() {
        // Cargo sets it for tests as it does for `cargo run`.
        assert!(env::var_os("CARGO_PKG_NAME").is_some());
        let mut shell = as_caller(Command::new("sh"));
        let handed_on =
            answer(shell.args(["-c", "env | grep -c '^CARGO_PKG_\\|^CARGO_MAN' || true"]));
        assert_eq!(handed_on.as_deref(), Some("0"));
    }

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.to_string().contains("sh -c 'exit 3'"), "{error}");
    }

    #[test]
    fn why_a_command_failed_is_what_it_said() {
        let why = run_or_why(Command::new("sh").args(["-c", "echo gone >&2; exit 3"]));
        assert_eq!(why, Err("gone\n".to_owned()));
        assert_eq!(run_or_why(Command::new("sh").args(["-c", "echo gone >&2"])), Ok(()));
        assert!(run_or_why(&mut Command::new("/nonexistent/program")).is_err());
    }

    #[test]
    fn no_answer_from_a_program_that_fails_or_is_not_there() {
        assert_eq!(answer(Command::new("sh").args(["-c", "echo x; exit 1"])), None);
        assert_eq!(answer(&mut Command::new("/nonexistent/program")), None);
        assert_eq!(answer(Command::new("echo").arg("x")).as_deref(), Some("x"));
    }
}
