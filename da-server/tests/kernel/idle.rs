//! How long connections were of no use, and who ended that.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use da_server::kernel::Unlisted;
use rustix::net::sockopt::set_socket_linger;

use crate::lab::{Lab, endpoint};
use crate::plain;

const NAME: &str = "idle.kernel.test";
/// How long nothing comes over a connection.
const IDLE: Duration = Duration::from_millis(400);

/// A connection on which a request was answered.
fn idle() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
    let (server, _) = listener.accept().expect("a client");
    let mut ends = (client, server);
    exchange(&mut ends);
    ends
}

fn exchange((client, server): &mut (TcpStream, TcpStream)) {
    let request = plain::request(NAME);
    client.write_all(&request).expect("writes");
    server.read_exact(&mut vec![0; request.len()]).expect("reads");
    server.write_all(plain::RESPONSE).expect("writes");
    plain::receive(client);
}

/// So that it is broken off when it is dropped.
fn broken_off(socket: &TcpStream) {
    set_socket_linger(socket, Some(Duration::ZERO)).expect("no lingering");
}

#[test]
fn whoever_ends_an_idle_connection_is_told_with_how_long_it_was_idle() {
    let Some(mut lab) = Lab::open(&[endpoint("idle", NAME)], Unlisted::Drop) else { return };
    let mut at_most = Vec::new();
    // From before the answer on.
    let mut after_a_while = |ended_by: &'static str, end: &mut dyn FnMut(TcpStream, TcpStream)| {
        let began = Instant::now();
        let (client, server) = idle();
        std::thread::sleep(IDLE);
        end(client, server);
        at_most.push((ended_by, began.elapsed()));
    };
    after_a_while("request", &mut |client, server| {
        let mut ends = (client, server);
        exchange(&mut ends);
        // Used again at once; and nothing is idle that nobody has answered.
        ends.0.write_all(&plain::request(NAME)).expect("writes");
    });
    after_a_while("peer_close", &mut |client, server| {
        drop(server);
        // When the client finds out does not count.
        let mut client = client;
        assert_eq!(client.read(&mut [0; 1]).expect("reads"), 0);
    });
    after_a_while("client_close", &mut |client, mut server| {
        drop(client);
        assert_eq!(server.read(&mut [0; 1]).expect("reads"), 0);
    });
    after_a_while("peer_reset", &mut |client, server| {
        broken_off(&server);
        drop(server);
        let mut client = client;
        client.read(&mut [0; 1]).expect_err("it is broken off");
    });
    after_a_while("client_reset", &mut |client, server| {
        broken_off(&client);
        drop(client);
        let mut server = server;
        server.read(&mut [0; 1]).expect_err("it is broken off");
    });
    lab.wait_closed(5);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    for (ended_by, at_most) in at_most {
        let value = |part: &str| {
            let labels = format!("ended_by=\"{ended_by}\",kind=\"llm\",provider=\"idle\"");
            lab.value(&format!("digital_actors_socket_idle_seconds_{part}{{{labels}}}"))
        };
        let (count, seconds) = (value("count"), value("sum"));
        println!("{ended_by}: {count}, {seconds} s, at most {at_most:?}");
        assert_eq!(count, if ended_by == "request" { 2.0 } else { 1.0 }, "{ended_by}");
        let known = IDLE.as_secs_f64()..at_most.as_secs_f64();
        assert!(known.contains(&seconds), "{ended_by}: {seconds} s, at most {at_most:?}");
    }
}
