//! The game server: a game whose characters are played by a language model and speak, with a
//! kernel view of the sockets that carry it.
//!
//! [`run`] is the whole server between two ends that the caller owns: listeners in, a token that
//! ends it. [`Collector::run`] is the same for the kernel view alone. Modules import one way:
//! `http → game → llm, tts, store`; all of them may use `metrics`.

pub mod calls;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod game;
pub mod health;
pub mod http;
pub mod kernel;
pub mod llm;
pub mod manual;
pub mod metrics;
pub mod provider;
pub mod recording;
pub mod reload;
pub mod replay;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod terminal;
pub mod tts;

mod app;
mod collector;
#[cfg(test)]
mod fuzzing;
mod listeners;
mod secret_file;
mod token_bucket;

pub use app::{App, checked_scenes};
pub use collector::Collector;
pub use listeners::Listeners;

use anyhow::Context;
use calls::{Calls, finish};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit of this build; `unknown` when the build was not told.
pub const COMMIT: &str = match option_env!("DA_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Serves `app` on `listeners` until `shutdown` is cancelled and what is open has ended, or its
/// grace time is over.
///
/// # Errors
/// A listener can't be used.
pub async fn run(
    app: App,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let App { config, metrics, errors, event_loop, game, calls, kernel_missing } = app;
    // Ends with this future.
    let mut watching = JoinSet::new();
    watching.spawn(event_loop.watch());
    let Calls { history, reports, thread } = calls;
    let served = http::Served { config, metrics, errors, game, history, kernel_missing };
    let served = http::serve(served, listeners, shutdown).await.context("serving");
    // Nobody reports any more: what is left is joined, and written where it is to be.
    drop(reports);
    tokio::task::spawn_blocking(|| finish(thread, "join the last calls")).await?;
    served
}
