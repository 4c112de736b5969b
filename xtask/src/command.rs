//! Running other programs, each shown before it runs.

use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

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
    fn a_failing_command_is_an_error_that_names_it() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.to_string().contains("sh -c 'exit 3'"), "{error}");
    }

    #[test]
    fn no_answer_from_a_program_that_fails_or_is_not_there() {
        assert_eq!(answer(Command::new("sh").args(["-c", "echo x; exit 1"])), None);
        assert_eq!(answer(&mut Command::new("/nonexistent/program")), None);
        assert_eq!(answer(Command::new("echo").arg("x")).as_deref(), Some("x"));
    }
}
