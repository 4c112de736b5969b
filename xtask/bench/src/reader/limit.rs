//! How many exchanges a second the collector follows before it loses one.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::collector::{Collector, Settings, losses, program_seconds};
use crate::exchanges::Exchanges;
use crate::figure::{Bar, Figure, Unit};
use crate::stage::Stage;
use crate::usage::Usage;
use crate::web::{self, HOST, WebServer};

const THREADS: usize = 2;
const CONNECTIONS: usize = 32;
/// Exchanges a second that are to be followed without a loss.
const GOAL: f64 = 100e3;

/// What makes the exchanges.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// Ours, at that many a second.
    Paced(f64),
    /// wrk, as many as nginx can answer.
    Saturated(&'a WebServer),
}

/// What happened with one of them.
struct Step {
    made_per_second: f64,
    lost: f64,
    collector_percent: f64,
    programs_percent: f64,
}

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let lasts = Duration::from_millis(stage.pace(1_000, 4_000));
    let web = WebServer::start(stage)?;
    let sources = [Source::Paced(25e3), Source::Paced(50e3), Source::Saturated(&web)];
    let mut figures = Vec::new();
    let mut without_loss: f64 = 0.0;
    for source in sources {
        let step = step(stage, source, lasts)?;
        let asked = match source {
            Source::Paced(rate) => format!("{:.0}k/s", rate / 1e3),
            Source::Saturated(_) => "as many as nginx answers".to_owned(),
        };
        let what = |of: &str| format!("limit, {asked}: {of}");
        let (process, programs) = (step.collector_percent, step.programs_percent);
        figures.extend([
            Figure::one(what("made"), Unit::PerSecond, step.made_per_second),
            Figure::one(what("lost"), Unit::Count, step.lost),
            Figure::one(what("CPU of the process"), Unit::CpuPercent, process),
            Figure::one(what("CPU of the programs"), Unit::CpuPercent, programs),
        ]);
        if step.lost == 0.0 {
            without_loss = without_loss.max(step.made_per_second);
        }
    }
    let best = Figure::one("limit: most without a loss", Unit::PerSecond, without_loss);
    figures.push(best.with_bar(Bar::AtLeast(GOAL)));
    Ok(figures)
}

fn step(stage: &Stage, source: Source<'_>, lasts: Duration) -> Result<Step> {
    let collector = Collector::start(stage, &Settings::default().watch(HOST))?;
    let begun = Instant::now();
    let before = (Usage::of(collector.id())?, program_seconds(&collector.scrape()?));
    // wrk leaves a request under way on each connection when its time is over.
    let (made, made_per_second, under_way) = match source {
        Source::Paced(rate) => {
            let made = all_paced(rate, lasts)?;
            (made, made / begun.elapsed().as_secs_f64(), 0.0)
        }
        Source::Saturated(web) => {
            let load = web.load(stage, lasts)?;
            (load.requests(), load.rate(), web::CONNECTIONS as f64)
        }
    };
    let seconds = begun.elapsed().as_secs_f64();

    // What was not counted must have been counted as lost: nothing is lost in silence.
    let family = "digital_actors_socket_exchanges_total";
    let scrape =
        collector.scrape_until(|scrape| scrape.total(family, &[]) + losses(scrape) >= made)?;
    let counted = scrape.total(family, &[]);
    ensure!(counted <= made + under_way, "{} exchanges were invented", counted - made);
    let lost = losses(&scrape).max(made - counted);
    ensure!(lost <= losses(&scrape), "{lost} exchanges of {made} were lost in silence");
    let after = (Usage::of(collector.id())?, program_seconds(&scrape));
    Ok(Step {
        made_per_second,
        lost,
        collector_percent: (after.0.cpu_seconds - before.0.cpu_seconds) / seconds * 100.0,
        programs_percent: (after.1 - before.1) / seconds * 100.0,
    })
}

/// How many exchanges were made by all threads.
fn all_paced(rate: f64, lasts: Duration) -> Result<f64> {
    let work = || paced(rate / THREADS as f64, lasts);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let made = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
        made.sum::<Result<usize>>().map(|made| made as f64)
    })
}

/// Exchanges at a rate, as far as that can be kept up; returns how many. All are over at the end.
fn paced(rate: f64, lasts: Duration) -> Result<usize> {
    let mut exchanges = Exchanges::open(HOST, CONNECTIONS)?;
    let begun = Instant::now();
    let mut made = 0;
    while begun.elapsed() < lasts {
        exchanges.round()?;
        made += exchanges.connections();
        let due = begun + Duration::from_secs_f64(made as f64 / rate);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(made)
}
