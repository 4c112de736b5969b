//! How many players one server carries, and what a turn asks of it and of its database.

pub mod database;
pub mod player;
pub mod server;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use da_standin::{Delay, Options, Plan, Standin};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::figure::{Figure, Unit};
use crate::stage::Stage;
use crate::statistics::quantile;
use crate::usage::Usage;
use da_testkit::exposition::Exposition;
use database::Database;
use server::Server;

/// What was done.
pub const DONE: &str = "A server with its kernel view, players, stand-in providers over TLS and, \
    where it is one, PostgreSQL share the machine's processors. Every player speaks again as soon as the \
    line before has been said; the game itself pauses for 0.3 s between two lines. An answer comes in \
    40 pieces 5 ms apart, and so does the audio of each utterance. CPU is that of the server's process \
    alone. Those at rest have begun a scene and say nothing.";

/// Players who speak.
const SPEAKING: [usize; 3] = [10, 50, 150];

/// Players who do not.
const AT_REST: usize = 1000;

/// Operations that belong to no turn: the tables, and the look for sessions wanted elsewhere.
const OF_NO_TURN: [&str; 2] = ["open", "find_wanted"];

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let standin = runtime.block_on(Standin::start(Options {
        plan: Plan {
            first_byte_ms: Delay::Fixed(20.0),
            between_chunks_ms: Delay::Fixed(5.0),
            chunks: Some(40),
            ..Plan::default()
        },
        log_capacity: Some(1),
        ..Options::default()
    }))?;
    let mut figures = Vec::new();
    for database in [Database::sqlite(stage)?, Database::postgres()] {
        let server = Server::start(stage, &standin, &database)?;
        for players in SPEAKING {
            figures.extend(speak(stage, &runtime, &server, &database, players)?);
        }
        figures.extend(rest(stage, &runtime, &server, &database)?);
    }
    runtime.block_on(standin.stop());
    Ok(figures)
}

fn speak(
    stage: &Stage,
    runtime: &Runtime,
    server: &Server,
    database: &Database,
    players: usize,
) -> Result<Vec<Figure>> {
    let playing = Duration::from_secs(stage.pace(3, 15));
    let before = (Usage::of(server.id())?, server.scrape()?);
    let begun = Instant::now();
    let turns_ms = runtime.block_on(async {
        let mut all = JoinSet::new();
        for _ in 0..players {
            let player = player::connect(server.address()).await?;
            all.spawn(player::speak_until(player, begun + playing));
        }
        let turns = all.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
        anyhow::Ok(turns.concat())
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let after = (Usage::of(server.id())?, server.scrape()?);
    let turns = turns_ms.len() as f64;
    ensure!(turns > 0.0, "nobody was answered");
    let p99_ms = quantile(&turns_ms, 0.99).unwrap_or(f64::NAN);

    let grew = |family: &str, labels: &[(&str, &str)]| {
        after.1.total(family, labels) - before.1.total(family, labels)
    };
    let succeeded = grew("digital_actors_requests_total", &[("status", "success")]);
    ensure!(succeeded >= turns, "{succeeded} of {turns} turns succeeded");
    ensure!(grew("digital_actors_errors_total", &[]) == 0.0, "something failed");
    let (queries, query_seconds) = queries(&before.1, &after.1);
    let cpu = after.0.cpu_seconds - before.0.cpu_seconds;

    let what = |of: &str| format!("{database}, {players} speak: {of}");
    Ok(vec![
        Figure::one(what("turns"), Unit::PerSecond, turns / seconds),
        Figure::one(what("CPU of the server"), Unit::CpuPercent, cpu / seconds * 100.0),
        Figure::one(what("CPU for a turn"), Unit::Milliseconds, cpu / turns * 1e3),
        Figure::of_rounds(what("a turn"), Unit::Milliseconds, &turns_ms),
        Figure::one(what("a turn, p99"), Unit::Milliseconds, p99_ms),
        Figure::one(what("queries in a turn"), Unit::Ratio, queries / turns),
        Figure::one(what("a query, mean"), Unit::Milliseconds, query_seconds / queries * 1e3),
    ])
}

/// How many queries turns took between two scrapes, and how long they took together.
fn queries(before: &Exposition, after: &Exposition) -> (f64, f64) {
    let grew = |of: &str| {
        let family = format!("digital_actors_db_query_time_seconds_{of}");
        let all = after.total(&family, &[]) - before.total(&family, &[]);
        let others = OF_NO_TURN.map(|operation| {
            let of_it = [("operation", operation)];
            after.total(&family, &of_it) - before.total(&family, &of_it)
        });
        all - others.iter().sum::<f64>()
    };
    (grew("count"), grew("sum"))
}

fn rest(
    stage: &Stage,
    runtime: &Runtime,
    server: &Server,
    database: &Database,
) -> Result<Vec<Figure>> {
    let before = Usage::of(server.id())?;
    let (used, resident, seconds) = runtime.block_on(async {
        let mut all = JoinSet::new();
        for _ in 0..AT_REST {
            let player = player::connect(server.address()).await?;
            all.spawn(player::listen(player));
        }
        let begun = (Instant::now(), Usage::of(server.id())?);
        tokio::time::sleep(Duration::from_secs(stage.pace(2, 10))).await;
        let now = Usage::of(server.id())?;
        let seconds = begun.0.elapsed().as_secs_f64();
        let used = now.cpu_seconds - begun.1.cpu_seconds;
        anyhow::Ok((used, now.resident_bytes, seconds))
    })?;
    let what = |of: &str| format!("{database}, {AT_REST} at rest: {of}");
    let each = (resident - before.resident_bytes) / AT_REST as f64;
    Ok(vec![
        Figure::one(what("CPU of the server"), Unit::CpuPercent, used / seconds * 100.0),
        Figure::one(what("resident memory"), Unit::Bytes, resident),
        Figure::one(what("of it for a session"), Unit::Bytes, each),
    ])
}
