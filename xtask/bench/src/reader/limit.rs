//! How many exchanges a second the collector follows before it loses one.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::collector::{Collector, Settings, losses, program_seconds};
use crate::exchanges::Exchanges;
use crate::figure::{Bar, Figure, Unit};
use crate::stage::Stage;
use crate::usage::Usage;

const HOST: &str = "limit.bench.test";
const THREADS: usize = 2;
const CONNECTIONS: usize = 32;
/// Exchanges a second that are asked for, and in the end as many as there can be.
const RATES: [f64; 6] = [25e3, 50e3, 100e3, 150e3, 200e3, f64::INFINITY];
/// The rate whose costs are shown.
const SHOWN: f64 = 100e3;

/// What happened at one rate.
struct Step {
    made_per_second: f64,
    lost: f64,
    collector_percent: f64,
    programs_percent: f64,
}

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let lasts = Duration::from_millis(stage.pace(700, 4_000));
    let mut figures = Vec::new();
    let mut without_loss: f64 = 0.0;
    for rate in RATES {
        let step = at_rate(stage, rate, lasts)?;
        let asked = if rate.is_finite() { format!("{:.0}k/s", rate / 1e3) } else { "all".into() };
        let what = |of: &str| format!("limit, {asked} asked: {of}");
        figures.push(Figure::one(what("made"), Unit::PerSecond, step.made_per_second));
        figures.push(Figure::one(what("lost"), Unit::Count, step.lost));
        if rate == SHOWN || rate.is_infinite() {
            let (process, programs) = (step.collector_percent, step.programs_percent);
            figures.push(Figure::one(what("CPU of the process"), Unit::CpuPercent, process));
            figures.push(Figure::one(what("CPU of the programs"), Unit::CpuPercent, programs));
        }
        if step.lost == 0.0 {
            without_loss = without_loss.max(step.made_per_second);
        }
    }
    let best = Figure::one("limit: most without a loss", Unit::PerSecond, without_loss);
    figures.push(best.with_bar(Bar::AtLeast(SHOWN)));
    Ok(figures)
}

fn at_rate(stage: &Stage, rate: f64, lasts: Duration) -> Result<Step> {
    let collector = Collector::start(stage, &Settings::default().watch(HOST))?;
    let begun = Instant::now();
    let before = (Usage::of(collector.id())?, program_seconds(&collector.scrape()?));
    let work = || paced(rate / THREADS as f64, lasts);
    let made = thread::scope(|scope| -> Result<usize> {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let made = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
        made.sum()
    })?;
    let seconds = begun.elapsed().as_secs_f64();

    // What was not counted must have been counted as lost: nothing is lost in silence.
    let family = "digital_actors_socket_exchanges_total";
    let scrape =
        collector.scrape_until(|scrape| scrape.sum(family, &[]) + losses(scrape) >= made as f64)?;
    let lost = made as f64 - scrape.sum(family, &[]);
    ensure!(lost >= 0.0, "{} exchanges were invented", -lost);
    ensure!(lost <= losses(&scrape), "{lost} exchanges of {made} were lost in silence");
    let after = (Usage::of(collector.id())?, program_seconds(&scrape));
    Ok(Step {
        made_per_second: made as f64 / seconds,
        lost,
        collector_percent: (after.0.cpu_seconds - before.0.cpu_seconds) / seconds * 100.0,
        programs_percent: (after.1 - before.1) / seconds * 100.0,
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
