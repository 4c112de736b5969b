//! Listening, reuse and the end of connections.

use std::time::Duration;

use da_standin::{CloseReason, Event, LogEntry, Options, Plan, Standin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Scene, connect_any, exchange, soon, wire_request};

fn connections_of_requests(log: &[LogEntry]) -> Vec<u64> {
    let requests = log.iter().filter(|entry| matches!(entry.event, Event::Request { .. }));
    requests.map(|entry| entry.conn).collect()
}

#[tokio::test]
async fn connection_is_kept_until_someone_says_close() {
    let scene = Scene::with_plan(Plan::default()).await;
    for _ in 0..3 {
        scene.anthropic().send().await.unwrap().bytes().await.unwrap();
    }
    assert_eq!(connections_of_requests(&scene.log().await), [1, 1, 1]);

    scene.standin.set_plan(Plan { close: true, ..Plan::default() });
    for _ in 0..2 {
        let response = scene.anthropic().send().await.unwrap();
        assert_eq!(response.headers()["connection"], "close");
        response.bytes().await.unwrap();
    }
    assert_eq!(connections_of_requests(&scene.log().await), [1, 1, 1, 1, 2]);
}

#[tokio::test]
async fn close_asked_for_by_the_client_ends_with_goodbye_and_not_with_a_reset() {
    let scene = Scene::with_plan(Plan::default()).await;
    let mut stream = connect_any(&scene.standin).await;
    let seen = exchange(&mut stream, &wire_request("connection: close\r\n")).await;
    assert!(seen.text().contains("\r\nconnection: close\r\n"));
    // rustls returns an error for a stream that ends without close_notify.
    assert_eq!(soon(stream.read(&mut [0; 16])).await.unwrap(), 0);
    stream.shutdown().await.unwrap();
    let log = scene.log_with(|event| matches!(event, Event::Close { .. })).await;
    let Event::Close { reason, read_bytes, written_bytes } = log.last().unwrap().event else {
        panic!("{log:?}")
    };
    assert_eq!(reason, CloseReason::ConnectionClose);
    let plain: usize = seen.reads.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(written_bytes > plain as u64 && read_bytes > wire_request("").len() as u64);
}

#[tokio::test]
async fn leaving_early_is_noticed() {
    let scene = Scene::with_plan(Plan::default()).await;
    drop(connect_any(&scene.standin).await);
    drop(TcpStream::connect(scene.standin.addr()).await.unwrap());
    let all = |log: &[LogEntry]| {
        let closes = log.iter().filter(|entry| matches!(entry.event, Event::Close { .. }));
        closes
            .filter(|entry| matches!(entry.event, Event::Close { reason: CloseReason::Client, .. }))
            .count()
    };
    for _ in 0..500 {
        if all(&scene.standin.log()) == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:#?}", scene.standin.log());
}

#[tokio::test]
async fn full_backlog_makes_connect_wait_for_accept() {
    let standin = Standin::start(Options { backlog: 1, ..Options::default() }).await.unwrap();
    standin.pause_accept();
    // Linux takes one more than the backlog says.
    let mut waiting = Vec::new();
    for _ in 0..2 {
        waiting.push(TcpStream::connect(standin.addr()).await.unwrap());
    }
    let mut late = Box::pin(TcpSocket::new_v4().unwrap().connect(standin.addr()));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut late).await;
    assert!(early.is_err(), "connected although nothing was accepted");
    assert!(standin.log().is_empty(), "accepted although paused");
    standin.resume_accept();
    let late = tokio::time::timeout(Duration::from_secs(10), late).await.unwrap().unwrap();
    // Every connection was accepted in the end.
    for _ in 0..500 {
        let accepts = standin.log().into_iter().filter(|entry| entry.event == Event::Accept);
        if accepts.count() == 3 {
            drop(late);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:#?}", standin.log());
}

#[tokio::test]
async fn stop_frees_the_port_and_closes_what_is_open() {
    let standin = Standin::start(Options::default()).await.unwrap();
    let address = standin.addr();
    let mut stream = connect_any(&standin).await;
    standin.stop().await;
    assert!(soon(stream.read(&mut [0; 16])).await.is_err(), "cut off, without goodbye");
    assert!(TcpStream::connect(address).await.is_err());
    let again = Options { listen: address, ..Options::default() };
    assert_eq!(Standin::start(again).await.unwrap().addr(), address);
}

#[tokio::test]
async fn dropping_the_handle_stops_it() {
    let standin = Standin::start(Options::default()).await.unwrap();
    let address = standin.addr();
    drop(standin);
    for _ in 0..500 {
        if TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still listening");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let taken = Standin::start(Options::default()).await.unwrap();
    let nowhere = Some("/no/such/folder/file".into());
    let impossible = Plan { fault_probability: 7.0, ..Plan::default() };
    for (options, word) in [
        (Options { listen: taken.addr(), ..Options::default() }, "cannot listen"),
        (Options { log_file: nowhere.clone(), ..Options::default() }, "/no/such/folder"),
        (Options { ca_file: nowhere, ..Options::default() }, "/no/such/folder"),
        (Options { plan: impossible.clone(), ..Options::default() }, "fault_probability"),
        (Options { plans: vec![("x".into(), impossible)], ..Options::default() }, "for x"),
        (Options { names: vec!["näme".into()], ..Options::default() }, "name"),
    ] {
        let error = format!("{:#}", Standin::start(options).await.err().unwrap());
        assert!(error.contains(word), "{error}");
    }
}
