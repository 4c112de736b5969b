//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::terminal::CallsArgs;

/// Game server for LLM-driven characters, with a kernel view of its LLM and TTS sockets.
#[derive(Debug, Parser)]
#[command(name = "da-server", version)]
pub struct Cli {
    /// Configuration file (TOML). Environment variables override it.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The command; `serve` if none is given.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve the game, its page and the metrics.
    Serve(RecordArgs),
    /// Serve only the metrics of the kernel view, without the game.
    Collect(RecordArgs),
    /// Show a recording on /metrics and /calls as if it happened now. Needs no privileges and no kernel
    /// view.
    Replay {
        /// What `--record` wrote, compressed by gzip or not; the built-in example when left out.
        file: Option<PathBuf>,
    },
    /// Check the configuration, and what the kernel view can measure on this host. Exit code: 0 everything, 1
    /// not everything, 2 nothing, 3 the configuration can't be used.
    Check {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Check whether the server with this configuration answers: exit code 0 if so, else 1. For health checks
    /// of containers, whose image has no other client.
    Health,
    /// Show the calls of a running server, or of a file that it has kept, one per line, with the phases of each.
    Calls(Box<CallsArgs>),
    /// Write man pages and shell completions, for packages.
    #[command(hide = true)]
    Manual {
        /// The folder to write to; created if it does not exist.
        folder: PathBuf,
        /// The date of the pages.
        #[arg(long, value_name = "YYYY-MM-DD", default_value = "")]
        date: String,
    },
}

/// Options of what can be recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct RecordArgs {
    /// Write what the kernel view reports, and when the server's own calls did what, to this file, for
    /// `replay`. It tells whom this host talks to, unlisted hosts included, and holds no content.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_options_are_where_one_expects_them() {
        for args in
            [["da-server", "--config", "a", "serve"], ["da-server", "serve", "--config", "a"]]
        {
            let cli = Cli::try_parse_from(args).expect("parses");
            assert_eq!(cli.config, Some(PathBuf::from("a")));
            assert_eq!(cli.command, Some(Command::Serve(RecordArgs::default())));
        }
        let follow = Cli::try_parse_from(["da-server", "calls", "--follow", "http://h:1"]);
        let Some(Command::Calls(args)) = follow.expect("parses").command else { panic!("calls") };
        assert!(args.follow && args.url == "http://h:1");
        assert_eq!(Cli::try_parse_from(["da-server"]).expect("parses").command, None);
    }
}
