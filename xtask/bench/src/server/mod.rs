//! What a loopback HTTP server loses to each way of watching it.

mod contender;

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use self::contender::{Contender, Watching};
use crate::figure::{Bar, Figure, Unit};
use crate::stage::Stage;
use crate::statistics::{quantile, ratios_to_neighbours};
use crate::web::{Load, WebServer};

/// What was done.
pub const DONE: &str = "nginx with one worker answers wrk, one thread with 64 kept connections, as \
    fast as both can on the machine's processors, which the watchers share. Each watcher's run \
    stands between two runs without any, and is compared with their mean. Every watcher proves that \
    it did see the requests: the collector's exchanges must be as many as wrk's requests, with \
    nothing lost.";

/// What was measured without a watcher (one run more than rounds × contenders), and with each.
#[derive(Default)]
struct Runs {
    nothing: Vec<Load>,
    watched: Vec<(Contender, Load)>,
}

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let web = WebServer::start(stage)?;
    let lasts = Duration::from_millis(stage.pace(1_000, 3_000));
    web.load(stage, lasts)?; // caches and pages that the first run would pay for
    let mut runs = Runs::default();
    runs.nothing.push(web.load(stage, lasts)?);
    for _ in 0..stage.pace(2, 9) {
        for contender in Contender::ALL {
            let watching = Watching::start(contender, stage, &web)?;
            let load = web.load(stage, lasts)?;
            let name = contender.as_str();
            watching.prove(&load).with_context(|| format!("a run with {name} proves nothing"))?;
            thread::sleep(Duration::from_millis(200)); // what it leaves behind is taken apart
            runs.watched.push((contender, load));
            runs.nothing.push(web.load(stage, lasts)?);
        }
    }
    Ok(runs.figures())
}

impl Runs {
    fn figures(&self) -> Vec<Figure> {
        let of_nothing = |of: fn(&Load) -> f64| self.nothing.iter().map(of).collect::<Vec<_>>();
        let mut figures = vec![
            Figure::of_rounds(
                "nothing watches: requests",
                Unit::PerSecond,
                &of_nothing(Load::rate),
            ),
            Figure::of_rounds(
                "nothing watches: p99",
                Unit::Microseconds,
                &of_nothing(Load::p99_us),
            ),
        ];
        for contender in Contender::ALL {
            let name = contender.as_str();
            let rate = self.ratios(contender, Load::rate);
            let figure = Figure::of_rounds(format!("{name}: × requests"), Unit::Ratio, &rate);
            figures.push(match contender.bar() {
                Some(bar) => figure.with_bar(bar),
                None => figure,
            });
            let p99 = self.ratios(contender, Load::p99_us);
            figures.push(Figure::of_rounds(format!("{name}: × p99"), Unit::Ratio, &p99));
        }
        let lost = |contender| {
            quantile(&self.ratios(contender, Load::rate), 0.5).map_or(f64::NAN, |left| 1.0 - left)
        };
        let share = lost(Contender::Targeting) / lost(Contender::Bpftrace);
        let what = "loss of requests, collector targeting it ÷ bpftrace";
        figures.push(Figure::one(what, Unit::Ratio, share).with_bar(Bar::AtMost(1.0 / 3.0)));
        figures
    }

    fn ratios(&self, of: Contender, what: fn(&Load) -> f64) -> Vec<f64> {
        let nothing: Vec<_> = self.nothing.iter().map(what).collect();
        let watched: Vec<_> = self.watched.iter().map(|(_, load)| what(load)).collect();
        let ratios = ratios_to_neighbours(&nothing, &watched);
        let own = self.watched.iter().zip(ratios).filter(|((contender, _), _)| *contender == of);
        own.map(|(_, ratio)| ratio).collect()
    }
}
