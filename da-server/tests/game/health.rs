//! `da-server health`: what a container engine runs to learn whether the server serves.

use std::process::Output;

use tokio::process::Command;

use crate::server::Server;

/// Asks as in the server's own surroundings: the same variables, and a proxy among them.
async fn ask(port: u16) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_da-server"));
    let nobody = "http://127.0.0.1:1";
    command.arg("health").env_clear().envs([("HTTP_PROXY", nobody), ("ALL_PROXY", nobody)]);
    command.env("DA_LISTEN", "0.0.0.0:1").env("PORT", port.to_string());
    command.output().await.expect("ran")
}

#[tokio::test]
async fn a_server_that_serves_is_healthy_and_one_that_has_ended_is_not() {
    let server = Server::start().await;
    let port = server.address.port();
    let Output { status, stdout, .. } = ask(port).await;
    assert_eq!(status.code(), Some(0));
    let said: serde_json::Value = serde_json::from_slice(&stdout).expect("JSON");
    assert_eq!(said["status"], "ok");

    server.stop().await.expect("ended in order");
    let Output { status, stderr, .. } = ask(port).await;
    assert_eq!(status.code(), Some(1));
    let said = String::from_utf8(stderr).expect("text");
    assert!(said.contains(&format!("no server answers at 127.0.0.1:{port}")), "{said}");
}
