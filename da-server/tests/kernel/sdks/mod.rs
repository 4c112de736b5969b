//! Programs that we did not write ask under the providers' own names, and the collector counts and times
//! what each of them does: the official SDKs, curl, Go and Java, unchanged and at the same time.

mod asker;
mod machine;
mod row;
mod sdk;
mod stage;

use std::collections::BTreeSet;

use da_standin::{Delay, Fault, Plan};
use da_testkit::server::ServerProgram;

use crate::clients::program::{self, Client, Programs};
use crate::lab::{cant_load, losses};
use crate::turns::beside;
use asker::Asker;
use da_testkit::programs::skip;
use row::Row;
use stage::{OVER_HTTP2, OWN_MODEL, Stage};

/// What a provider takes to answer, and what lies between two pieces of a stream, ms.
const FIRST_BYTE_MS: u64 = 80;
const BETWEEN_CHUNKS_MS: u64 = 15;
const CHUNKS: u64 = 4;

/// How the providers answer.
fn plan() -> Plan {
    Plan {
        first_byte_ms: Delay::Fixed(FIRST_BYTE_MS as f64),
        between_chunks_ms: Delay::Fixed(BETWEEN_CHUNKS_MS as f64),
        chunks: Some(CHUNKS as usize),
        ..Plan::default()
    }
}

/// The same, but the first question is refused for the moment.
fn plan_with_refusal() -> Plan {
    let fault = Fault::RateLimited { retry_after: None, retry_after_ms: Some(50) };
    Plan { fault: Some(fault), fault_count: Some(1), ..plan() }
}

#[test]
fn all_are_counted_and_timed_under_the_providers_names() {
    let sdks = sdk::all();
    let asked: BTreeSet<_> = sdks.iter().map(|sdk| (sdk.host, sdk.provider)).collect();
    let names = asked.iter().map(|(host, _)| *host).chain(OVER_HTTP2.map(|(_, host, _)| host));
    // Whoever else asks them would be counted as well.
    let _turn = beside(names.chain([OWN_MODEL.0]));
    if let Some(why) = cant_load().or_else(sdk::missing) {
        return skip(&why);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let programs = match Programs::new(folder.path()) {
        Ok(programs) => programs,
        Err(missing) => return skip(&missing),
    };
    let stage = Stage::open(folder.path(), programs);
    let collector = ServerProgram::start(&["collect"], &Stage::configuration(), |_| {});
    let ask = |askers: Vec<Asker>| -> Vec<Row> {
        let begun: Vec<_> = askers.into_iter().map(|asker| asker.begin(&stage.network)).collect();
        begun.into_iter().map(|one| Row::of(one, |path| collector.get(path).1)).collect()
    };

    // Before all others one that sends each request at once: where the parts of a request come apart, the
    // collector has to know the size of the session tickets that come between them.
    let first = asked.iter().map(|at| stage.over_http1(Client::Curl, *at)).collect();
    let mut rows = ask(first);
    let mut askers: Vec<_> = sdks.into_iter().map(|sdk| stage.sdk(sdk)).collect();
    let anthropic = ("api.anthropic.com", "anthropic");
    askers.extend([Client::Go, Client::Java].map(|client| stage.over_http1(client, anthropic)));
    askers.extend(OVER_HTTP2.map(|one| stage.over_http2(one)));
    askers.push(stage.asks_for_an_upgrade());
    rows.extend(ask(askers));

    println!("{}, {}", program::versions(), sdk::versions());
    row::print(&rows);
    rows.iter().for_each(Row::check);
    // Another program of this host may connect to one of these addresses, and say nothing.
    let mut lost = losses(&collector.get("/metrics").1);
    lost.retain(|line| !line.contains("\"ambiguous_address\""));
    assert!(lost.is_empty(), "{lost:?}");
}
