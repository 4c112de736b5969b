//! `da-server calls`: the calls of a running server, one line each.

mod bar;
mod client;
mod credentials;
mod from_file;
mod line;
mod under_way;

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::value::StrDeserializer;

use crate::calls::{Call, MAX_LISTED};
use crate::kernel::EndpointKind;
use client::{Client, ClientError, Update};
use line::{LEGEND, Line};

/// How many shown calls are remembered, so that none is shown twice: as many as a server lists.
const MAX_SHOWN: usize = MAX_LISTED as usize;
const MIN_RECONNECT_DELAY: Duration = Duration::from_millis(500);
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(10);

/// Which calls of which server are shown, and how.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CallsArgs {
    /// URL of the server, or of its listener for metrics if it has one.
    #[arg(default_value = "http://127.0.0.1:8888")]
    pub url: String,
    /// Show calls that a server has kept in this file (calls.file of its configuration) instead of those of a running
    /// server; that of the same name with .1 is read too.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "url", "follow", "under_way", "token_file", "user", "password_file", "ca_file",
    ])]
    pub from: Option<PathBuf>,
    /// Of that file only calls that began then or later: 2026-11-30T14:05:00Z, or with another zone than Z.
    #[arg(long = "since", value_name = "TIME", requires = "from", value_parser = from_file::unix_ms)]
    pub since_unix_ms: Option<u64>,
    /// Of that file only calls that began then or earlier.
    #[arg(long = "until", value_name = "TIME", requires = "from", value_parser = from_file::unix_ms)]
    pub until_unix_ms: Option<u64>,
    /// Serve the page with the calls of that file, at the address that the configuration says.
    #[arg(long, requires = "from", conflicts_with_all = [
        "slowest", "limit", "kind", "provider", "own", "process", "workload", "outcome", "min_ms", "json",
    ])]
    pub page: bool,
    /// Keep printing calls as they end, also after the server was restarted.
    #[arg(long)]
    pub follow: bool,
    /// Show the slowest recent calls instead of the latest.
    #[arg(long, conflicts_with = "follow")]
    pub slowest: bool,
    /// Show the requests that have not ended yet, as the kernel view sees them: those on which nothing moves first, the
    /// oldest of them on top. HTTP/2 and TLS connections older than the view are not among them.
    #[arg(long, conflicts_with_all = ["follow", "slowest", "own", "outcome", "min_ms", "json"])]
    pub under_way: bool,
    /// How many calls to show first; of a running server 500 at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Only calls to language models (llm), speech providers (tts), databases (db) or other endpoints (other).
    #[arg(long, value_parser = kind)]
    pub kind: Option<EndpointKind>,
    /// Only calls to this provider.
    #[arg(long)]
    pub provider: Option<String>,
    /// Only calls of the server itself.
    #[arg(long, conflicts_with_all = ["process", "workload"])]
    pub own: bool,
    /// Only calls of other processes of this name.
    #[arg(long, value_name = "NAME")]
    pub process: Option<String>,
    /// Only calls of processes of this pod, container or systemd unit.
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// Only calls with this outcome: failed, success or an error kind of the server's own calls, ok or another outcome
    /// of what only the kernel saw.
    #[arg(long)]
    pub outcome: Option<String>,
    /// Only calls that took at least so many milliseconds.
    #[arg(long, value_name = "MS")]
    pub min_ms: Option<u64>,
    /// Print each call as JSON, one per line.
    #[arg(long)]
    pub json: bool,
    /// File with the metrics token, if the server needs one. Default: the environment variable METRICS_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// User name, if the server needs one; the password is in --password-file, or in the environment variable
    /// METRICS_PASSWORD.
    #[arg(long, value_name = "NAME", conflicts_with = "token_file")]
    pub user: Option<String>,
    /// File with the user's password.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// PEM file with certificate authorities to trust in addition to the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

fn kind(text: &str) -> Result<EndpointKind, String> {
    let label = StrDeserializer::<serde::de::value::Error>::new(text);
    EndpointKind::deserialize(label).map_err(|_| "use llm, tts, db or other".to_owned())
}

/// The calls of the file that is given, for the page.
///
/// # Errors
/// None is given, or it can't be read.
pub fn kept(args: &CallsArgs) -> anyhow::Result<Vec<Call>> {
    from_file::for_page(args, file(args)?)
}

/// Shows calls of the file that is given on standard output.
///
/// # Errors
/// None is given, or it can't be read; or no call ends as is asked for.
pub fn show_kept(args: &CallsArgs) -> anyhow::Result<()> {
    let calls = from_file::for_terminal(args, file(args)?)?;
    end_of(CallPrinter::of(args).show_all(&calls))
}

fn file(args: &CallsArgs) -> anyhow::Result<&Path> {
    args.from.as_deref().context("--from FILE is missing")
}

/// Shows calls on standard output until there are no more, or nobody reads them.
///
/// # Errors
/// The server can't be reached, refuses, or is none of ours.
pub async fn show(args: &CallsArgs) -> anyhow::Result<()> {
    ensure!(
        args.limit <= MAX_LISTED.into(),
        "--limit: a running server lists {MAX_LISTED} at most"
    );
    let client = Client::new(args)?;
    if args.under_way {
        let listed = client.under_way(args.limit).await?;
        return match under_way::print(&mut io::stdout().lock(), &listed) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).context("standard output")
            }
            _ => Ok(()),
        };
    }
    end_of(CallPrinter::of(args).run(&client, args).await)
}

/// That nobody reads any more is no error.
fn end_of(ended: Result<(), ShowError>) -> anyhow::Result<()> {
    match ended {
        Err(ShowError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(ShowError::Output(error)) => Err(error).context("standard output"),
        Err(ShowError::Client(error)) => Err(error.into()),
        Ok(()) => Ok(()),
    }
}

/// Why nothing more is shown.
enum ShowError {
    Output(io::Error),
    Client(ClientError),
}

impl From<io::Error> for ShowError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<ClientError> for ShowError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// Prints calls, each once.
struct CallPrinter<W> {
    out: W,
    json: bool,
    colors: bool,
    /// Calls of a file may be of any day.
    with_date: bool,
    /// Number and beginning: a server that is started again numbers from 1.
    shown: VecDeque<(u64, u64)>,
}

impl CallPrinter<io::Stdout> {
    fn of(args: &CallsArgs) -> Self {
        let out = io::stdout();
        let colors = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let (json, with_date) = (args.json, args.from.is_some());
        Self { out, json, colors, with_date, shown: VecDeque::new() }
    }
}

impl<W: Write> CallPrinter<W> {
    async fn run(&mut self, client: &Client, args: &CallsArgs) -> Result<(), ShowError> {
        if !args.follow {
            let mut calls = client.list(args.limit).await?;
            if !args.slowest {
                calls.reverse();
            }
            return self.show_all(&calls);
        }
        let (mut limit, mut wait) = (args.limit, MIN_RECONNECT_DELAY);
        let mut ever_connected = false;
        loop {
            let mut connected = false;
            let ended = self.follow(client, limit, &mut connected).await;
            ever_connected |= connected;
            match ended {
                // Nothing was ever there, or it will be as wrong the next time.
                Err(ShowError::Client(error)) if !ever_connected || !error.may_pass() => {
                    return Err(error.into());
                }
                Err(ShowError::Client(error)) => eprintln!("da-server: {error}; trying again"),
                Err(error) => return Err(error),
                Ok(()) => eprintln!("da-server: the server ended the connection; trying again"),
            }
            if connected {
                wait = MIN_RECONNECT_DELAY;
            }
            tokio::time::sleep(wait).await;
            wait = MAX_RECONNECT_DELAY.min(wait * 2);
            // Whatever ended meanwhile.
            limit = MAX_LISTED.into();
        }
    }

    /// Over one connection, until that ends.
    async fn follow(
        &mut self,
        client: &Client,
        limit: u32,
        connected: &mut bool,
    ) -> Result<(), ShowError> {
        let mut updates = Box::pin(client.follow().await?);
        // What ends while these are being asked for comes by both ways, and is shown once.
        let mut calls = client.list(limit).await?;
        *connected = true;
        calls.reverse();
        self.show_all(&calls)?;
        while let Some(update) = updates.next().await {
            match update? {
                Update::Call(call) => self.show(&call)?,
                Update::Missed(calls) => eprintln!("da-server: {calls} calls were skipped"),
            }
        }
        Ok(())
    }

    fn show_all(&mut self, calls: &[Call]) -> Result<(), ShowError> {
        calls.iter().try_for_each(|call| self.show(call))
    }

    fn show(&mut self, call: &Call) -> Result<(), ShowError> {
        let key = (call.id, call.began_unix_ms);
        if self.shown.contains(&key) {
            return Ok(());
        }
        if self.json {
            serde_json::to_writer(&mut self.out, call).map_err(io::Error::from)?;
            writeln!(self.out)?;
        } else {
            if self.shown.is_empty() {
                writeln!(self.out, "{LEGEND}")?;
            }
            writeln!(
                self.out,
                "{}",
                Line { call, colors: self.colors, with_date: self.with_date }
            )?;
        }
        self.out.flush()?;
        self.shown.truncate(MAX_SHOWN - 1);
        self.shown.push_front(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::sample_call;

    #[test]
    fn a_call_is_shown_once_and_one_of_the_same_number_after_a_restart_as_well() {
        let mut printer = CallPrinter {
            out: Vec::new(),
            json: true,
            colors: false,
            with_date: false,
            shown: VecDeque::new(),
        };
        let call = sample_call(1, 100);
        let restarted = Call { began_unix_ms: 7, ..call.clone() };
        assert!(printer.show_all(&[call.clone(), call, restarted]).is_ok());
        assert_eq!(printer.out.iter().filter(|byte| **byte == b'\n').count(), 2);
        for id in 2..2_000 {
            assert!(printer.show(&sample_call(id, 100)).is_ok());
        }
        assert_eq!(printer.shown.len(), MAX_SHOWN, "what is remembered is bounded");
    }
}
