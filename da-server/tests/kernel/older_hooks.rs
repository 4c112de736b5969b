//! The hooks of kernels before 6.3, on the kernel of this machine: the tests of the newer ones, again.

use std::io::{Read, Seek, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::process::Command;

use da_server::kernel::{ExchangeOutcome, Hooks, SeenExchange, Unlisted, What};

use crate::lab::{Lab, OLDER_HOOKS, cant_load, endpoint, hooks, skip};
use crate::plain;

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
    "older_hooks::what_is_sent_out_of_sight_is_told",
    "outcomes::a_refused_connect_and_an_unused_connection",
    "outcomes::responses_that_never_come_or_break_off",
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

#[test]
fn what_is_sent_out_of_sight_is_told() {
    let name = "sendfile.kernel.test";
    let Some(mut lab) = Lab::open(&[endpoint("sendfile", name)], Unlisted::Drop) else { return };
    let mut socket = TcpStream::connect(plain::serve("127.0.0.1:0")).expect("connects");
    let request = format!("GET / HTTP/1.1\r\nhost: {name}\r\n\r\n");
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(request.as_bytes()).expect("written");
    let mut response = vec![0; plain::RESPONSE.len()];
    for by_sendfile in [false, true, false] {
        if by_sendfile {
            file.rewind().expect("at its beginning");
            let (to, from) = (socket.as_raw_fd(), file.as_raw_fd());
            // SAFETY: both descriptors are open, and no offset is handed over.
            let sent = unsafe { libc::sendfile(to, from, std::ptr::null_mut(), request.len()) };
            assert_eq!(usize::try_from(sent), Ok(request.len()));
        } else {
            socket.write_all(request.as_bytes()).expect("writes");
        }
        socket.read_exact(&mut response).expect("reads");
    }
    drop(socket);
    lab.wait_closed(1);
    let value = |family: &str| {
        lab.value(&format!("digital_actors_socket_{family}{{endpoint=\"sendfile\",kind=\"llm\"}}"))
    };
    assert_eq!(value("sent_bytes_total"), 3.0 * request.len() as f64);
    assert_eq!(value("received_bytes_total"), 3.0 * plain::RESPONSE.len() as f64);
    let outcome = |what| match what {
        What::Exchange(SeenExchange { measured, .. }) => Some(measured.outcome),
        _ => None,
    };
    let outcomes: Vec<_> = lab.close().into_iter().filter_map(|one| outcome(one.what)).collect();
    if hooks() == Hooks::Older {
        // Neither is timed: the answer to the one in between might be taken for theirs.
        assert_eq!(outcomes, [ExchangeOutcome::Ambiguous; 2]);
    } else {
        assert_eq!(outcomes, [ExchangeOutcome::Ok; 3]);
    }
}
