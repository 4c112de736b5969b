//! The first exchange of a TLS 1.3 connection, whose server sends session tickets just before it.

use std::collections::HashMap;
use std::time::Duration;

use da_server::kernel::{ExchangeOutcome, SeenExchange, Unlisted, What};
use da_standin::{Event, Options, TlsMode};

use crate::client::{Client, Tls, config, request};
use crate::lab::{Lab, endpoint};
use crate::turns::undisturbed;

const NAME: &str = "tickets.kernel.test";
const FRESH: usize = 200;

/// `one_write`: the request leaves in the same write as the client's Finished.
fn check(tickets: usize, first_byte_ms: u64, one_write: bool) {
    let _alone = undisturbed();
    let Some(mut lab) = Lab::open(&[endpoint("tickets", NAME)], Unlisted::Drop) else { return };
    let standin = lab.standin(Options {
        names: vec![NAME.to_owned()],
        tls: TlsMode::V13,
        tickets,
        ..Options::default()
    });
    let config = config(standin.ca_pem(), Tls::V13);
    let plan = format!(r#"{{"first_byte_ms":{first_byte_ms},"chunks":2,"between_chunks_ms":3}}"#);
    // The kernel gives a local port out again before long: all reads of one end, in order.
    let mut reads: HashMap<_, Vec<u64>> = HashMap::new();
    for _ in 0..FRESH {
        let mut client = Client::connect(standin.addr(), NAME, Some(&config));
        if one_write {
            client.handshake_and_send(&request(NAME, &plan, true));
        } else {
            client.handshake().expect("a handshake");
            client.send(&request(NAME, &plan, true));
        }
        assert!(client.receive().starts_with(b"HTTP/1.1 200"));
        reads.entry(client.local).or_default().push(client.first_read_ns);
        client.until_closed();
        client.close();
    }
    lab.wait_closed(FRESH);
    lab.runtime.block_on(standin.idle());
    let mut writes: HashMap<_, Vec<u64>> = HashMap::new();
    for entry in standin.log() {
        if matches!(entry.event, Event::ResponseStart { .. }) {
            writes.entry(entry.peer).or_default().push(entry.t_ns);
        }
    }
    lab.runtime.block_on(standin.stop());
    let counted = |outcome: ExchangeOutcome| {
        lab.value(&format!(
            "digital_actors_socket_exchanges_total{{kind=\"llm\",outcome=\"{}\",provider=\"tickets\"}}",
            outcome.as_str()
        ))
    };
    let (counted_ok, counted_doubtful) =
        (counted(ExchangeOutcome::Ok), counted(ExchangeOutcome::Doubtful));

    // Runs of a program that the kernel skips for one under way are counted, for the whole host.
    let skipped = lab.value("digital_actors_ebpf_lost_total{reason=\"recursion\"}") as usize;

    let losses = lab.losses();
    let (mut right, mut doubtful, mut wrong) = (0, 0, 0);
    let mut reported: HashMap<_, usize> = HashMap::new();
    for one in lab.close() {
        let What::Exchange(SeenExchange { measured, .. }) = one.what else { continue };
        // Tickets arrive before the response is written, later chunks after its first byte is read.
        let number = reported.entry(one.local).or_default();
        let of = |all: &HashMap<_, Vec<u64>>| all.get(&one.local)?.get(*number).copied();
        let (Some(written_ns), Some(read_ns)) = (of(&writes), of(&reads)) else {
            panic!("{}, exchange {}: never made: {measured:?}", one.local, *number + 1);
        };
        let response = written_ns..=read_ns;
        *number += 1;
        match (measured.outcome, measured.response_first_ns) {
            (ExchangeOutcome::Ok, Some(first_ns)) if response.contains(&first_ns) => right += 1,
            (ExchangeOutcome::Doubtful, None) => doubtful += 1,
            _ => {
                wrong += 1;
                println!("wrong: {measured:?}, the response is within {response:?}");
            }
        }
    }
    println!(
        "{tickets} tickets, first byte after {first_byte_ms} ms, one write {one_write}: \
         {right} right, {doubtful} doubtful, {wrong} wrong of {FRESH}"
    );
    let seen = right + doubtful + wrong;
    for peer in writes.keys().filter(|peer| !reported.contains_key(*peer)) {
        println!("{peer}: no exchange was reported; losses of this host: {losses:?}");
    }
    assert!(seen <= FRESH && FRESH - seen <= skipped, "none missed, none invented: {seen}");
    assert_eq!(wrong, 0, "silently wrong");
    assert_eq!((counted_ok, counted_doubtful), (right as f64, doubtful as f64), "all counted");
    assert!(right * 100 >= FRESH * 98, "{right} of {FRESH} right");
}

#[test]
fn request_in_a_write_of_its_own() {
    check(2, 5, false);
}

#[test]
fn request_in_the_same_write_as_finished() {
    check(2, 5, true);
}

#[test]
fn more_tickets_or_none() {
    check(4, 5, false);
    check(0, 30, false);
}

#[test]
fn a_response_in_the_time_of_the_tickets() {
    check(2, 0, false);
    check(2, 0, true);
}

#[test]
fn a_first_response_that_is_over_in_the_time_of_the_tickets() {
    let _alone = undisturbed();
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
    let of = |one: &What| matches!(one, What::Exchange(_));
    let counted = lab.close().iter().filter(|one| of(&one.what)).count();
    assert_eq!(counted, FRESH * plans.len());
}
