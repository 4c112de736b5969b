//! The hooks of kernels before 6.3, on the kernel of this machine: the tests of the newer ones, again.

use std::process::Command;

use crate::lab::{OLDER_HOOKS, cant_load, skip};

/// Every kind of count and of time once.
const TESTS: &[&str] = &[
    "accuracy::plain_keep_alive",
    "accuracy::tls13_keep_alive",
    "attribution::ipv6_and_v4_mapped_sockets",
    "edges::a_client_that_closes_its_half_first",
    "edges::a_server_that_takes_leave_long_after_its_response",
    "edges::answers_as_fast_as_they_can_be",
    "existing::in_the_clear_every_later_exchange_counts_and_no_earlier_one",
    "lab::the_hooks_are_those_that_are_asked_for",
    "outcomes::a_refused_connect_and_an_unused_connection",
    "streams::bytes_that_wait_to_be_read",
    "streams::every_gap_of_a_stream_is_in_its_bucket",
    "tickets::request_in_a_write_of_its_own",
];

#[test]
fn measure_the_same() {
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let again = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "--nocapture", "--test-threads", "1"])
        .args(TESTS)
        .env(OLDER_HOOKS, "1")
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&again.stdout);
    println!("{said}");
    let errors = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success(), "{said}{errors}");
    assert!(said.contains(&format!("{} passed", TESTS.len())), "all of them are there: {said}");
}
