//! What it takes to join a thousand calls a second, and to tell followers of each.

mod calls;
mod followers;
mod server;
mod threads;

use std::process;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use da_standin::{Options, Standin, TlsMode};

use crate::figure::{Bar, Figure, Unit};
use crate::stage::Stage;
use crate::usage::Usage;
use calls::{CALLS_PER_SECOND, Callers};
use followers::Followers;
use server::Server;

/// What was done.
pub const DONE: &str = "The parts of da-server run in this process: 1,000 streamed calls a second are made by its own \
    client to the stand-in provider over TLS 1.3, every tenth on a new connection, every twentieth given \
    up before its answer; the kernel view sees their sockets, `da-calls` joins both. CPU is that of \
    threads, by `/proc`: `join` is `da-calls`, `serving` is the one that writes `/api/calls/live` to \
    followers, who hear of every call. A report is lost if its call is in no `call_join_total`; those given \
    up may have left nothing to be joined with.";

/// Who is told of every call: nobody, some, and as many as there may be.
const FOLLOWERS: [usize; 3] = [0, 8, 32];
/// What joining may take of one core.
const MOST_CPU_PERCENT: f64 = 2.0;

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let standins = threads::runtime("bench-standin")?;
    let standin = standins.block_on(Standin::start(Options {
        names: calls::names(),
        plans: calls::plans(),
        tls: TlsMode::V13,
        log_capacity: Some(1),
        ..Options::default()
    }))?;
    let server = Server::start(stage, &calls::names())?;
    let callers = Callers::new(stage, &standin, server.reports())?;
    // By then connections are open, and as many closed ones kept as ever are.
    let warm_up = Duration::from_secs(stage.pace(3, 40));
    server.known_until(callers.make(warm_up)? as f64)?;
    let resident_bytes = || Ok::<_, anyhow::Error>(Usage::of(process::id())?.resident_bytes);
    let before = resident_bytes()?;
    let mut figures = Vec::new();
    for followers in FOLLOWERS {
        figures.extend(with_followers(stage, &server, &callers, followers)?);
    }
    let what = |when: &str| format!("resident memory of all, {when}");
    figures.push(Figure::one(what("before"), Unit::Bytes, before));
    figures.push(Figure::one(what("after"), Unit::Bytes, resident_bytes()?));
    standins.block_on(standin.stop());
    Ok(figures)
}

fn with_followers(
    stage: &Stage,
    server: &Server,
    callers: &Callers,
    count: usize,
) -> Result<Vec<Figure>> {
    let followers = Followers::start(server.address(), count)?;
    let cpu = || Ok::<_, anyhow::Error>([threads::cpu_seconds("da-calls")?, server.cpu_seconds()?]);
    let (known, joined) = (server.known()?, server.joined()?);
    let (begun, before) = (Instant::now(), cpu()?);
    let made = callers.make(Duration::from_secs(stage.pace(5, 20)))?;
    let seconds = begun.elapsed().as_secs_f64();
    let known = server.known_until(known + made as f64)? - known;
    let joined = server.joined()? - joined;
    let after = cpu()?;
    let heard = followers.heard_until(known as usize)?;

    let percent = |thread: usize| (after[thread] - before[thread]) / seconds * 100.0;
    let missed: usize = heard.iter().map(|heard| (known as usize).saturating_sub(*heard)).sum();
    let what = |of: &str| format!("{count} followers: {of}");
    let mut figures = vec![
        Figure::one(what("calls"), Unit::PerSecond, made as f64 / seconds)
            .with_bar(Bar::AtLeast(0.95 * CALLS_PER_SECOND as f64)),
        Figure::one(what("CPU of the join"), Unit::CpuPercent, percent(0))
            .with_bar(Bar::AtMost(MOST_CPU_PERCENT)),
        Figure::one(what("reports lost"), Unit::Count, made as f64 - known)
            .with_bar(Bar::AtMost(0.0)),
        Figure::one(what("joined, of all calls"), Unit::Ratio, joined / made as f64),
    ];
    if count > 0 {
        figures.push(Figure::one(what("CPU of serving"), Unit::CpuPercent, percent(1)));
        figures.push(Figure::one(what("calls not heard of"), Unit::Count, missed as f64));
    }
    Ok(figures)
}

/// Looks every now and then, but not for ever.
fn wait_until(is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) && !is_so()? {
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
