//! A game whose metrics and calls are guarded: what is shown to whom, in a browser's way, a scraper's,
//! and the terminal's.

use std::net::SocketAddr;
use std::process::{Command, Output};

use da_server::calls::CallKind;
use da_testkit::certificates::{Identity, client};
use rustls::version::TLS13;

use crate::sample_calls::usual;
use crate::server::Server;

/// A server that asks for `alice` over TLS, on a listener for metrics of its own; and where that is.
async fn guarded() -> (Server, Identity, SocketAddr) {
    let mut made = None;
    let (server, at) = Server::with_metrics_apart(|config| {
        let folder = config.store.path.parent().expect("a folder");
        made = Some(Identity::make(folder, "server"));
        let hash = bcrypt::hash("alice-s3cret", 4).expect("hashed");
        let web = format!(
            "tls_server_config: {{cert_file: server.pem, key_file: server.key}}\n\
             basic_auth_users: {{alice: {hash}}}\n"
        );
        let file = folder.join("web.yml");
        std::fs::write(&file, web).expect("written");
        std::fs::write(folder.join("password"), "alice-s3cret\n").expect("written");
        config.metrics.web_config_file = Some(file);
    })
    .await;
    (server, made.expect("made"), at)
}

#[tokio::test]
async fn calls_are_behind_the_same_door_as_metrics_and_their_page_is_not() {
    let (server, identity, at) = guarded().await;
    let http = client(&identity, None, &[&TLS13]);
    let status = async |path: &str, password: Option<&str>| {
        let request = http.get(format!("https://localhost:{}{path}", at.port()));
        let request = match password {
            Some(password) => request.basic_auth("alice", Some(password)),
            None => request,
        };
        request.send().await.expect("answer").status().as_u16()
    };
    for path in ["/metrics", "/api/calls", "/api/calls/1", "/api/calls/live"] {
        assert_eq!(status(path, None).await, 401, "{path}");
        assert_eq!(status(path, Some("alice")).await, 401, "{path}");
    }
    assert_eq!(status("/metrics", Some("alice-s3cret")).await, 200);
    assert_eq!(status("/api/calls", Some("alice-s3cret")).await, 200);
    assert_eq!(status("/api/calls/1", Some("alice-s3cret")).await, 404);
    for open in ["/calls", "/calls/api.js", "/health"] {
        assert_eq!(status(open, None).await, 200, "{open}");
    }
    for elsewhere in ["/metrics", "/calls", "/api/calls"] {
        let response = server.request(elsewhere).send().await.expect("answer");
        assert_eq!(response.status(), 404, "{elsewhere} has left the main listener");
    }
}

#[tokio::test]
async fn the_terminal_gets_in_with_a_user_over_tls() {
    let (server, identity, at) = guarded().await;
    server.calls.add(usual(1, CallKind::Llm, 100.0));
    let ask = async |prepare: &dyn Fn(&mut Command)| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_da-server"));
        command.env_clear().args([
            "calls",
            &format!("https://localhost:{}", at.port()),
            "--ca-file",
        ]);
        command.arg(&identity.ca);
        prepare(&mut command);
        let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("joined");
        let Output { status, stdout, stderr } = ran.expect("ran");
        let said = String::from_utf8([stdout, stderr].concat()).expect("text");
        assert!(!said.contains("s3cret"), "{said}");
        (status.code(), said)
    };
    let password = server.folder.path().join("password");
    let (code, said) = ask(&|command| {
        command.args(["--user", "alice", "--password-file"]).arg(&password);
    })
    .await;
    assert!(code == Some(0) && said.contains("#1 "), "{said}");
    let (code, said) = ask(&|command| {
        command.args(["--user", "alice"]).env("METRICS_PASSWORD", "alice-s3cret");
    })
    .await;
    assert!(code == Some(0) && said.contains("#1 "), "{said}");
    let (code, said) = ask(&|_| {}).await;
    assert!(code == Some(1) && said.contains("--user and --password-file"), "{said}");
    let (code, said) = ask(&|command| {
        command.args(["--user", "alice"]);
    })
    .await;
    assert!(code == Some(1) && said.contains("METRICS_PASSWORD"), "{said}");
}
