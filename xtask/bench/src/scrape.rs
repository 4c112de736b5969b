//! What a scrape takes, by how many endpoints there are.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::collector::{Collector, Settings};
use crate::exchanges::Exchanges;
use crate::figure::{Figure, Unit};
use crate::stage::Stage;

/// What was done.
pub const DONE: &str = "Every endpoint has had two connections with five exchanges each, so all of \
    its series are there; besides the configured endpoints there is the built-in catalogue, which \
    nobody talked to. Time is from the request to the last byte of `/metrics`.";

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for endpoints in [5, 50, 500] {
        figures.extend(with_endpoints(stage, endpoints)?);
    }
    Ok(figures)
}

fn with_endpoints(stage: &Stage, endpoints: usize) -> Result<[Figure; 3]> {
    let host = |number: usize| format!("endpoint{number}.bench.test");
    let settings = (0..endpoints).fold(Settings::default(), |all, number| all.watch(&host(number)));
    let collector = Collector::start(stage, &settings)?;
    for number in 0..endpoints {
        let mut exchanges = Exchanges::open(&host(number), 2)?;
        (0..5).try_for_each(|_| exchanges.round())?;
    }
    let family = "digital_actors_socket_exchanges_total";
    let made = (endpoints * 2 * 5) as f64;
    let scrape = collector.scrape_until(|scrape| scrape.total(family, &[]) >= made)?;
    for number in 0..endpoints {
        let provider = format!("endpoint{number}");
        let observed = scrape
            .total("digital_actors_socket_response_seconds_count", &[("provider", &provider)]);
        ensure!(observed == 10.0, "{observed} responses of endpoint {number} instead of 10");
    }

    let mut times_ms = Vec::new();
    for _ in 0..stage.pace(20, 100) {
        let begun = Instant::now();
        collector.scrape()?;
        times_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let what = |of: &str| format!("{endpoints} endpoints: {of}");
    Ok([
        Figure::of_rounds(what("time"), Unit::Milliseconds, &times_ms),
        Figure::one(what("size"), Unit::Bytes, scrape.0.len() as f64),
        Figure::one(what("series"), Unit::Count, scrape.series() as f64),
    ])
}
