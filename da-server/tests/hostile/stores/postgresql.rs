//! A PostgreSQL that stops, hangs, or is none.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use da_testkit::postgres::Postgres;

use super::{WELL, is_noticed, keeps_again, told};
use crate::case::{Case, play};
use crate::server::Settings;

/// With one connection, so that as many are open afterwards as before.
fn at(url: &str) -> Settings {
    Settings::healthy().set("DATABASE_URL", url).set("DA_STORE__MAX_CONNECTIONS", 1)
}

#[test]
fn stopped() {
    if !Postgres::is_there() {
        return;
    }
    let postgres = Postgres::start();
    let case = Case { done: "PostgreSQL stops, and starts again", expected: WELL };
    play(&case, at(&postgres.database()), async |server| {
        assert!(server.keeps().await, "before anything was done");
        postgres.stop();
        let plays = server.turn("Can you hear me?").await;
        let noticed = is_noticed(server).await;
        postgres.run();
        told(&plays, noticed, keeps_again(server).await)
    });
}

/// Something else listens where PostgreSQL should: `say` is what it does with each connection.
fn impostor(
    done: &'static str,
    say: fn(std::net::TcpStream) -> std::io::Result<()>,
    expected: &'static str,
) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("postgres://da:x@{}/da", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || say(socket));
        }
    });
    play(&Case { done, expected }, at(&url), async |server| {
        let plays = server.turn("Can you hear me?").await;
        told(&plays, is_noticed(server).await, server.keeps().await)
    });
}

const WITHOUT: &str = "plays, is noticed, keeps nothing";

cases! { impostor;
    silent: "what listens there is silent", |mut socket| {
        socket.read_to_end(&mut Vec::new()).map(|_| ())
    }, WITHOUT;
    closes: "what listens there closes every connection", |_| Ok(()), WITHOUT;
    speaks_http: "what listens there speaks HTTP", |mut socket| {
        let _ = socket.read(&mut [0; 1024])?;
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    }, WITHOUT;
    floods: "what listens there sends zeros without an end", |mut socket| {
        loop {
            socket.write_all(&[0; 4096])?;
            thread::sleep(Duration::from_millis(1));
        }
    }, WITHOUT;
}
