//! A second request on a fresh connection, right after a first one that was answered at once.

use std::collections::HashMap;
use std::time::Duration;

use da_server::kernel::{ExchangeOutcome, Unlisted, What};
use da_standin::{Options, TlsMode};

use super::NAME;
use crate::client::{Client, Tls, config, request};
use crate::lab::{Lab, endpoint};

const FRESH: usize = 200;
/// Connections that may say so where their requests could not be told apart: a program reads no page of a send
/// that is not in memory at that moment.
const MOST_AMBIGUOUS: usize = FRESH / 100;

#[test]
fn a_first_response_that_is_over_at_once_is_one() {
    let Some(mut lab) = Lab::open(&[endpoint("tickets", NAME)], Unlisted::Drop) else { return };
    let standin = lab.standin(Options {
        names: vec![NAME.to_owned()],
        tls: TlsMode::V13,
        ..Options::default()
    });
    let config = config(standin.ca_pem(), Tls::V13);
    // As a refusal by a server that is far away: less than half a round trip behind its tickets.
    let plans = [r#"{"first_byte_ms":0}"#, r#"{"first_byte_ms":5}"#];
    for _ in 0..FRESH {
        let mut client = Client::connect(standin.addr(), NAME, Some(&config));
        client.handshake().expect("a handshake");
        for plan in plans {
            client.send(&request(NAME, plan, false));
            assert!(client.receive().starts_with(b"HTTP/1.1 200"));
            std::thread::sleep(Duration::from_millis(5));
        }
        client.close();
    }
    lab.wait_closed(FRESH);
    lab.runtime.block_on(standin.stop());
    // A run of a program that the kernel skips for one under way is counted, for the whole host.
    let skipped = lab.value("digital_actors_ebpf_lost_total{reason=\"recursion\"}") as usize;
    let losses = lab.losses();
    let mut all: HashMap<_, Vec<_>> = HashMap::new();
    for one in lab.close() {
        all.entry(one.connection).or_default().push(one.what);
    }
    let unseen = FRESH.abs_diff(all.len());
    let exchanges = |of: &[What]| of.iter().filter(|it| matches!(it, What::Exchange(_))).count();
    all.retain(|_, of| exchanges(of) != plans.len());
    let says_so = |what: &What| match what {
        What::Exchange(seen) => seen.measured.outcome == ExchangeOutcome::Ambiguous,
        _ => false,
    };
    let (ambiguous, wrong): (Vec<_>, Vec<_>) =
        all.values().partition(|of| exchanges(of) < plans.len() && of.iter().any(says_so));
    let missed: usize = wrong.iter().map(|of| plans.len().abs_diff(exchanges(of))).sum();
    let missed = missed + plans.len() * unseen;
    assert!(missed <= skipped, "{missed} missed, {skipped} skipped, {losses:?}: {wrong:#?}");
    assert!(ambiguous.len() <= MOST_AMBIGUOUS, "{losses:?}: {ambiguous:#?}");
}
