//! Floods of connections, and too few descriptors for them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::case::{Case, play};
use crate::server::{PATIENCE, Server, Settings};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// So many connections that say this first, open side by side; they are held while a healthy player plays.
fn held(done: &'static str, count: usize, first: &'static [u8], expected: &'static str) {
    play(&Case { done, expected }, Settings::healthy(), async |server| {
        let open = open(server.address, count, first).await;
        let came = server.turn("Is it crowded?").await;
        drop(open);
        came
    });
}

async fn open(address: SocketAddr, count: usize, first: &'static [u8]) -> Vec<TcpStream> {
    let connect = move || {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).expect("as many descriptors as this process may have");
        let connect = |_| {
            let mut socket = TcpStream::connect_timeout(&address, PATIENCE).expect("connected");
            // It may have been closed already.
            let _ = socket.write_all(first);
            socket
        };
        (0..count).map(connect).collect()
    };
    tokio::task::spawn_blocking(connect).await.expect("no panic")
}

/// So many requests at once; how often each status came.
fn asked(done: &'static str, count: usize, request: &'static [u8], expected: &'static str) {
    play(&Case { done, expected }, Settings::healthy(), async |server| {
        let sockets = open(server.address, count, request).await;
        let beside = server.turn("Is it crowded?").await;
        let answers = tokio::task::spawn_blocking(|| sockets.into_iter().map(status).collect());
        let mut answers: Vec<u16> = answers.await.expect("no panic");
        answers.sort_unstable();
        answers.dedup();
        format!("{beside} beside {answers:?}")
    });
}

fn status(mut socket: TcpStream) -> u16 {
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut answer = String::new();
    let _ = socket.read_to_string(&mut answer);
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Connections that are reset as soon as they are there.
fn given_up(done: &'static str, count: usize, first: &'static [u8], expected: &'static str) {
    play(&Case { done, expected }, Settings::healthy(), async |server| {
        for _ in 0..count / 100 {
            for socket in open(server.address, 100, first).await {
                let at_once = Some(Duration::ZERO);
                rustix::net::sockopt::set_socket_linger(&socket, at_once).expect("set");
            }
        }
        server.turn("Is it crowded?").await
    });
}

/// The server may open no more than 128 descriptors.
fn with_few_descriptors(command: &mut std::process::Command) {
    let limit = || {
        let most = Rlimit { current: Some(128), maximum: Some(128) };
        setrlimit(Resource::Nofile, most).map_err(Into::into)
    };
    // SAFETY: between fork and exec it makes one system call and touches nothing else.
    unsafe { command.pre_exec(limit) };
}

async fn more_than_descriptors(server: &Server) -> String {
    let open = open(server.address, 300, b"").await;
    // Nobody is let in now, and nobody is thrown out.
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(open);
    server.turn("Is there room again?").await
}

mod open_side_by_side {
    use super::*;

    cases! { held;
        silent: "800 connections that say nothing", 800, b"", "success";
        half_a_head: "800 connections with half a request",
            800, b"GET /health HTTP/1.1\r\nHost: loc", "success";
        idle: "300 connections that ask once and stay",
            300, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", "success";
        followers: "60 who follow the calls",
            60, b"GET /api/calls/live HTTP/1.1\r\nHost: localhost\r\n\r\n", "success";
    }
}

mod at_once {
    use super::*;

    cases! { asked;
        health: "500 requests for /health", 500, HEALTH, "success beside [200]";
        metrics: "300 scrapes at once", 300, METRICS, "success beside [200]|success beside [200, 503]";
    }
}

mod reset {
    use super::*;

    cases! { given_up;
        silent: "2,000 connections that are reset at once", 2_000, b"", "success";
        within: "1,000 connections that are reset within a request",
            1_000, b"GET /metrics HTTP/1.1\r\nHost: loc", "success";
        asked: "1,000 connections that are reset after a request", 1_000, METRICS, "success";
    }
}

#[test]
fn descriptors() {
    let done = "300 connections to a server that may have 128 descriptors";
    let settings = Settings { prepare: with_few_descriptors, ..Settings::healthy() };
    play(&Case { done, expected: "success" }, settings, more_than_descriptors);
}

#[test]
fn backlog() {
    let case = Case {
        done: "600 connections while the server stands still",
        expected: "all were there at once, and all were answered",
    };
    play(&case, Settings::healthy(), async |server| {
        server.signal(libc::SIGSTOP);
        let address = server.address;
        let connect = move || {
            // What does not fit is tried again by the kernel after a second, for which nobody waits here.
            let soon = Duration::from_millis(900);
            let sockets: Result<Vec<_>, _> =
                (0..600).map(|_| TcpStream::connect_timeout(&address, soon)).collect();
            sockets
        };
        let sockets = tokio::task::spawn_blocking(connect).await.expect("no panic");
        server.signal(libc::SIGCONT);
        let Ok(sockets) = sockets else { return "some did not fit".to_owned() };
        let answers = tokio::task::spawn_blocking(|| {
            // All ask before any is read: whoever has not asked after a while is closed.
            let asked =
                sockets.into_iter().map(|mut socket| socket.write_all(HEALTH).map(|()| socket));
            let asked: Vec<_> = asked.collect();
            asked.into_iter().all(|socket| socket.is_ok_and(|socket| status(socket) == 200))
        });
        match answers.await.expect("no panic") {
            true => "all were there at once, and all were answered".to_owned(),
            false => "some were not answered".to_owned(),
        }
    });
}
