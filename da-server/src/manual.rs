//! Man pages and shell completions, made from the definition of the command line, so that they
//! can't say anything else. For those who pack the program.

use std::path::Path;
use std::{fs, io};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::VERSION;
use crate::cli::Cli;

const NAME: &str = "da-server";

/// Shells that get completions.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// What the first page tells beside the options: heading, then (term, explanation) in turn.
const SECTIONS: [(&str, &[(&str, &str)]); 3] = [
    (
        "SIGNALS",
        &[
            (
                "SIGHUP",
                "serve and collect read the configuration again and take over its endpoints; \
                 everything else waits for a restart. Without --config it ends the process.",
            ),
            (
                "SIGTERM, SIGINT",
                "Nothing more is accepted, and what a character is saying may be finished within \
                 grace_seconds. A second one ends the process at once.",
            ),
        ],
    ),
    (
        "FILES",
        &[
            ("/etc/digital-actors/digital-actors.toml", "The configuration of the packaged game."),
            ("/etc/digital-actors/collector.toml", "That of the packaged collector."),
            (
                "/etc/digital-actors/keys",
                "What digital-actors.service gets as credentials: files of which only root needs \
                 to be able to read them.",
            ),
            ("/var/lib/digital-actors", "The packaged game's conversations."),
            ("/usr/share/doc/digital-actors", "The whole documentation."),
        ],
    ),
    (
        "ENVIRONMENT",
        &[(
            "DA_SECTION__KEY",
            "Sets a key of the configuration, over the file. CONFIGURATION.md in the documentation \
             has every key, and the variables that go by names of their own.",
        )],
    ),
];

/// Writes one man page per command and one file of completions per shell into `folder`, which is
/// made if it is not there: `da-server.1`, `da-server-check.1`, …; `da-server.bash`, `_da-server`,
/// `da-server.fish`. `date` (YYYY-MM-DD) is that of the pages.
///
/// # Errors
/// The folder can't be written.
pub fn write(folder: &Path, date: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut command = shown();
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut command, NAME, folder)?;
    }
    command.build();
    for subcommand in command.get_subcommands() {
        page(subcommand, date).generate_to(folder)?;
    }
    let first = page(&command, date);
    let mut text = Vec::new();
    first.render(&mut text)?;
    sections().to_writer(&mut text)?;
    fs::write(folder.join(first.get_filename()), text)
}

/// The command line without what is hidden: completions would offer it.
fn shown() -> Command {
    let whole = Cli::command();
    let subcommands = whole.get_subcommands().filter(|command| !command.is_hide_set());
    Command::new(NAME)
        .version(VERSION)
        .about(whole.get_about().cloned().unwrap_or_default())
        .args(whole.get_arguments())
        .subcommands(subcommands)
        .disable_help_subcommand(true)
}

fn page(command: &Command, date: &str) -> Man {
    Man::new(command.clone()).date(date).source(format!("{NAME} {VERSION}"))
}

/// [`SECTIONS`], as man pages have them.
fn sections() -> Roff {
    let mut roff = Roff::default();
    for (heading, entries) in SECTIONS {
        roff.control("SH", [heading]);
        for (term, explanation) in entries {
            roff.control("TP", []).text([bold(*term)]).text([roman(*explanation)]);
        }
    }
    roff
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_its_completions() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "2026-01-02").expect("written");
        let listed = fs::read_dir(folder.path()).expect("listed");
        let names: BTreeSet<_> = listed
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        let commands = Cli::command();
        let shown = commands.get_subcommands().filter(|command| !command.is_hide_set());
        let mut expected: BTreeSet<_> =
            shown.map(|command| format!("da-server-{}.1", command.get_name())).collect();
        expected.extend(
            ["da-server.1", "da-server.bash", "da-server.fish", "_da-server"].map(String::from),
        );
        assert_eq!(names, expected);
        for name in names {
            let text = fs::read_to_string(folder.path().join(&name)).expect("there");
            assert!(!text.contains("manual"), "{name} tells of what is hidden:\n{text}");
        }
    }

    #[test]
    fn the_first_page_has_what_options_do_not_tell() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "2026-01-02").expect("written");
        let page = fs::read_to_string(folder.path().join("da-server.1")).expect("there");
        let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        for heading in ["OPTIONS", "SUBCOMMANDS", "SIGNALS", "FILES", "ENVIRONMENT"] {
            assert!(headings.contains(&heading), "{heading} is not among {headings:?}");
        }
        assert!(page.contains(".TH da-server 1 2026-01-02"), "{page}");
    }
}
