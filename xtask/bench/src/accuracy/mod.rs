//! What the kernel view says, against a packet capture of the same connections.

mod capture;
mod timeline;
mod view;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use da_server::kernel::{SeenExchange, What};
use da_standin::{Options, Standin, TlsMode};
use rustix::time::{ClockId, clock_gettime};
use rustls::ClientConfig;

use self::capture::Capture;
use self::timeline::Timeline;
use self::view::View;
use crate::client::{Client, tls13};
use crate::figure::{Bar, Figure, Unit};
use crate::stage::Stage;
use crate::statistics::quantile;

const HOST: &str = "accuracy.bench.test";
const CLIENTS: usize = 2;
const EXCHANGES_PER_CONNECTION: usize = 5;

/// What was done.
pub const DONE: &str = "Two clients ask the stand-in provider, in the clear and over TLS 1.3, five times a \
    connection, for answers that begin after 2 to 12 ms and come in four chunks 3 ms apart. \
    The errors are differences, without their sign, between what the kernel view and tcpdump (with \
    the kernel's nanosecond time stamps) say of the same event. In TLS the first exchange of a \
    connection is left out: a capture can't tell its answer from session tickets. A capture does not \
    see reads: pickup is held against the client's clock behind its read, in the clear.";

/// Errors of each measurement, µs.
#[derive(Default)]
struct Errors {
    connect: Vec<f64>,
    handshake: Vec<f64>,
    first_byte: Vec<f64>,
    gap: Vec<f64>,
    pickup: Vec<f64>,
}

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let mut errors = Errors::default();
    for mode in [TlsMode::Plain, TlsMode::V13] {
        compare(stage, mode, &mut errors)?;
    }
    let mut figures = Vec::new();
    for (what, errors, bars) in [
        ("connect", &errors.connect, Some((40.0, 100.0))),
        ("TLS handshake", &errors.handshake, None),
        ("first byte", &errors.first_byte, Some((10.0, 60.0))),
        ("gap between chunks", &errors.gap, None),
        ("pickup", &errors.pickup, None),
    ] {
        figures.extend(of_errors(what, errors, bars));
    }
    Ok(figures)
}

fn of_errors(what: &str, errors_us: &[f64], bars: Option<(f64, f64)>) -> [Figure; 3] {
    let figure = |name: &str, share, bar: Option<f64>| {
        let value = quantile(errors_us, share).unwrap_or(f64::NAN);
        let what = format!("{what} ({} compared): {name}", errors_us.len());
        let figure = Figure::one(what, Unit::Microseconds, value);
        bar.into_iter().fold(figure, |figure, most| figure.with_bar(Bar::AtMost(most)))
    };
    [
        figure("median error", 0.5, bars.map(|bars| bars.0)),
        figure("p99", 0.99, bars.map(|bars| bars.1)),
        figure("largest", 1.0, None),
    ]
}

fn compare(stage: &Stage, mode: TlsMode, errors: &mut Errors) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let standin = runtime.block_on(Standin::start(Options {
        names: vec![HOST.to_owned()],
        tls: mode,
        ..Options::default()
    }))?;
    let config = match mode {
        TlsMode::Plain => None,
        _ => Some(tls13(standin.ca_pem())?),
    };
    let capture = Capture::start(stage, standin.addr().port())?;
    let view = View::open(HOST)?;
    let connections = stage.pace(40, 200);
    let clocks_before_ns = between_clocks_ns();
    let called = call(standin.addr(), config.as_ref(), connections)?;
    let between_clocks_ns = clocks_before_ns.midpoint(between_clocks_ns());
    let seen = view.close(connections)?;
    let captured = capture.finish()?;
    runtime.block_on(standin.stop());

    for connection in called {
        let segments = captured.get(&connection.port).map_or(&[][..], Vec::as_slice);
        let observed = seen.get(&connection.port).map_or(&[][..], Vec::as_slice);
        errors.add(&Timeline::of(segments, between_clocks_ns), &connection, observed)?;
    }
    Ok(())
}

/// What `CLOCK_REALTIME` is ahead of `CLOCK_MONOTONIC`, ns: the capture's clock and everyone else's.
fn between_clocks_ns() -> u64 {
    let before_ns = da_standin::now_ns();
    let now = clock_gettime(ClockId::Realtime);
    let after_ns = da_standin::now_ns();
    let realtime_ns = now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned();
    realtime_ns - before_ns.midpoint(after_ns)
}

/// What a client knows of a connection of its own.
struct Called {
    port: u16,
    /// When the read returned that brought the first bytes of each answer, ns.
    first_reads_ns: Vec<u64>,
}

/// Makes the calls.
fn call(
    to: SocketAddr,
    config: Option<&Arc<ClientConfig>>,
    connections: usize,
) -> Result<Vec<Called>> {
    let client = |first: usize| -> Result<Vec<Called>> {
        let mut called = Vec::new();
        for number in (first..connections).step_by(CLIENTS) {
            let mut client = Client::connect(to, HOST, config)?;
            let mut first_reads_ns = Vec::new();
            for exchange in 0..EXCHANGES_PER_CONNECTION {
                let delay_ms = 2 + (number * EXCHANGES_PER_CONNECTION + exchange) * 7 % 11;
                let plan =
                    format!(r#"{{"first_byte_ms":{delay_ms},"between_chunks_ms":3,"chunks":4}}"#);
                first_reads_ns.push(client.exchange(&plan)?);
            }
            called.push(Called { port: client.local.port(), first_reads_ns });
        }
        Ok(called)
    };
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|first| scope.spawn(move || client(first))).collect();
        let mut called = Vec::new();
        for client in clients {
            called.extend(client.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        Ok(called)
    })
}

impl Errors {
    /// Of one connection: `timeline` as captured, `observed` by the kernel view.
    fn add(&mut self, timeline: &Timeline, called: &Called, observed: &[What]) -> Result<()> {
        let is_tls = timeline.handshake_ns.is_some();
        let mut measured = HashMap::new();
        for what in observed {
            match what {
                What::Connected { from_ns, to_ns } => {
                    self.connect.extend(error_us(to_ns - from_ns, timeline.connect_ns));
                }
                What::HandshakeDone { from_ns, to_ns, .. } => {
                    self.handshake.extend(error_us(to_ns - from_ns, timeline.handshake_ns));
                }
                What::Exchange(seen) => {
                    measured.insert(seen.number as usize, &**seen);
                }
                What::Resolved(_) | What::EndedUp(_) | What::Closed { .. } => {}
            }
        }
        for (index, captured) in timeline.exchanges.iter().enumerate().skip(usize::from(is_tls)) {
            let Some(SeenExchange { arrivals_ns, first_pickup, measured, .. }) =
                measured.get(&(index + 1))
            else {
                bail!("the kernel view missed exchange {} of a connection", index + 1);
            };
            let first_byte_ns = measured.first_byte_ns.context("an exchange without first byte")?;
            self.first_byte.extend(error_us(first_byte_ns, captured.first_byte_ns()));
            // Segments that the kernel puts together arrive as one.
            if arrivals_ns.len() == captured.arrivals_ns.len() {
                let gaps = |at_ns: &[u64]| at_ns.windows(2).map(|two| two[1] - two[0]).collect();
                let (own, captured): (Vec<_>, Vec<_>) =
                    (gaps(arrivals_ns), gaps(&captured.arrivals_ns));
                let pairs = own.iter().zip(captured);
                self.gap.extend(pairs.filter_map(|(own, gap)| error_us(*own, Some(gap))));
            }
            // Behind TLS the client's clock comes only after the decryption.
            if let (Some(pickup), false) = (first_pickup, is_tls) {
                let read_ns = called.first_reads_ns.get(index);
                let waited_ns = read_ns.zip(captured.arrivals_ns.first());
                let waited_ns = waited_ns.map(|(read, arrived)| read.saturating_sub(*arrived));
                self.pickup.extend(error_us(pickup.waited_ns, waited_ns));
            }
        }
        Ok(())
    }
}

/// The difference, without its sign.
fn error_us(measured_ns: u64, captured_ns: Option<u64>) -> Option<f64> {
    Some(measured_ns.abs_diff(captured_ns?) as f64 / 1e3)
}
