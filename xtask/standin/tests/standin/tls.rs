//! TLS versions, names, session tickets and resumption.

use std::net::SocketAddr;

use da_standin::{Event, Options, TlsMode};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::support::{ANTHROPIC, OPENAI, Scene, connect, exchange, tls_config, wire_request};

async fn scene(tls: TlsMode, tickets: usize) -> Scene {
    Scene::start(Options { tls, tickets, ..Options::default() }).await
}

/// Version, resumption and second hello of each handshake, and whether tickets followed.
async fn handshakes(scene: &Scene) -> Vec<(&'static str, bool, bool, bool)> {
    let log = scene.log().await;
    let done = log.iter().filter_map(|entry| match entry.event {
        Event::HandshakeDone { tls_version, resumed, hello_retry, tickets_ns, answered_ns } => {
            assert!(answered_ns <= entry.t_ns && tickets_ns.is_none_or(|t_ns| t_ns > entry.t_ns));
            Some((tls_version, resumed, hello_retry, tickets_ns.is_some()))
        }
        _ => None,
    });
    done.collect()
}

#[tokio::test]
async fn versions_are_those_that_were_chosen() {
    let both: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    for (mode, offered, agreed) in [
        (TlsMode::V12, both, Some("1.2")),
        (TlsMode::V13, both, Some("1.3")),
        (TlsMode::Both, both, Some("1.3")),
        (TlsMode::Both, &[&TLS12], Some("1.2")),
        (TlsMode::V12, &[&TLS13], None),
        (TlsMode::V13, &[&TLS12], None),
    ] {
        let scene = scene(mode, 2).await;
        let config = tls_config(&scene.standin, offered);
        match (connect(&scene.standin, ANTHROPIC, config).await, agreed) {
            (Ok(mut stream), Some(version)) => {
                exchange(&mut stream, &wire_request("")).await;
                assert_eq!(handshakes(&scene).await[0].0, version);
            }
            (Err(_), None) => {
                let refused = |event: &Event| matches!(event, Event::Close { .. });
                let log = scene.log_with(refused).await;
                assert!(log.iter().all(|entry| !matches!(entry.event, Event::Request { .. })));
            }
            (result, _) => panic!("{mode:?}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn tickets_are_as_many_as_asked_for() {
    for tickets in [0, 1, 2, 4] {
        let scene = scene(TlsMode::V13, tickets).await;
        let config = tls_config(&scene.standin, &[&TLS13]);
        let mut stream = connect(&scene.standin, ANTHROPIC, config).await.unwrap();
        exchange(&mut stream, &wire_request("")).await;
        assert_eq!(stream.get_ref().1.tls13_tickets_received() as usize, tickets);
        assert_eq!(handshakes(&scene).await, [("1.3", false, false, tickets > 0)]);
    }
}

#[tokio::test]
async fn second_connection_resumes_unless_there_are_no_tickets() {
    for (mode, version, tickets, resumes) in [
        (TlsMode::V13, "1.3", 2, true),
        (TlsMode::V13, "1.3", 0, false),
        (TlsMode::V12, "1.2", 2, true),
    ] {
        let scene = scene(mode, tickets).await;
        let config = tls_config(&scene.standin, &[&TLS13, &TLS12]);
        for _ in 0..2 {
            let mut stream = connect(&scene.standin, ANTHROPIC, config.clone()).await.unwrap();
            exchange(&mut stream, &wire_request("")).await;
        }
        let seen: Vec<(&str, bool)> =
            handshakes(&scene).await.iter().map(|done| (done.0, done.1)).collect();
        assert_eq!(seen, [(version, false), (version, resumes)]);
    }
}

#[tokio::test]
async fn hello_retry_makes_the_client_greet_twice() {
    let scene = Scene::start(Options { hello_retry: true, ..Options::default() }).await;
    let config = tls_config(&scene.standin, &[&TLS13]);
    let mut stream = connect(&scene.standin, ANTHROPIC, config).await.unwrap();
    exchange(&mut stream, &wire_request("")).await;
    assert_eq!(handshakes(&scene).await, [("1.3", false, true, true)]);
    let kind = stream.get_ref().1.handshake_kind();
    assert_eq!(kind, Some(rustls::HandshakeKind::FullWithHelloRetryRequest));
}

#[tokio::test]
async fn one_port_serves_every_name_and_the_log_tells_them_apart() {
    let names = ["api.anthropic.com", "voice.example"].map(String::from).to_vec();
    let scene = Scene::start(Options { names, ..Options::default() }).await;
    let config = tls_config(&scene.standin, &[&TLS13]);
    for name in [ANTHROPIC, "voice.example", "localhost"] {
        let mut stream = connect(&scene.standin, name, config.clone()).await.unwrap();
        exchange(&mut stream, &wire_request("")).await;
    }
    assert!(connect(&scene.standin, OPENAI, config.clone()).await.is_err(), "not among the names");
    // Without a name in the hello, the name is the one in Host.
    let mut stream = connect(&scene.standin, "127.0.0.1", config).await.unwrap();
    exchange(&mut stream, &wire_request("")).await;
    let log = scene.log().await;
    let requests = log.iter().filter(|entry| matches!(entry.event, Event::Request { .. }));
    let names: Vec<&str> = requests.map(|entry| entry.name.as_deref().unwrap()).collect();
    assert_eq!(names, [ANTHROPIC, "voice.example", "localhost", ANTHROPIC]);
}

#[tokio::test]
async fn listens_on_ipv6() {
    let listen: SocketAddr = "[::1]:0".parse().unwrap();
    let scene = Scene::start(Options { listen, ..Options::default() }).await;
    assert!(scene.standin.addr().is_ipv6());
    let config = tls_config(&scene.standin, &[&TLS13]);
    let mut stream = connect(&scene.standin, "::1", config).await.unwrap();
    let local = stream.get_ref().0.local_addr().unwrap();
    exchange(&mut stream, &wire_request("")).await;
    assert!(scene.log().await.iter().all(|entry| entry.peer == local));
}

#[tokio::test]
async fn a_stranger_is_not_trusted() {
    let (ours, theirs) = (scene(TlsMode::Both, 2).await, scene(TlsMode::Both, 2).await);
    let config = tls_config(&theirs.standin, &[&TLS13]);
    let error = connect(&ours.standin, ANTHROPIC, config).await.unwrap_err();
    assert!(format!("{error:?}").contains("InvalidCertificate"), "{error:?}");
}
