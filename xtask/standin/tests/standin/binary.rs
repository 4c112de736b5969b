//! The program, as someone at a prompt or a demo uses it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::openai_body;

fn standin(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_da-standin"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ready(child: &mut Child) -> Value {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a ready line: {line:?}"))
}

fn kill(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
}

#[tokio::test]
async fn serves_what_its_flags_say_until_it_is_told_to_end() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("plan.json"), r#"{"text":"from the file"}"#).unwrap();
        let (ca, log, plan) = (path("ca.pem"), path("log.jsonl"), path("plan.json"));
        let mut child = standin(&[
            "--ca-out",
            &ca,
            "--log",
            &log,
            "--plan",
            &plan,
            "--name",
            "extra.example",
            "--plan-for",
            r#"extra.example={"fault":{"kind":"server_error"}}"#,
            "--tls",
            "1.3",
        ])
        .spawn()
        .unwrap();
        let ready = ready(&mut child);
        assert_eq!(ready["ca"], ca);
        let address: std::net::SocketAddr = ready["listening"].as_str().unwrap().parse().unwrap();

        let pem = std::fs::read(&ca).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        use rustls::pki_types::pem::PemObject;
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let provider = rustls::crypto::ring::default_provider().into();
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .resolve("api.openai.com", address)
            .resolve("extra.example", address)
            .build()
            .unwrap();
        let ask = |name: &str| {
            let url = format!("https://{name}:{}/v1/chat/completions", address.port());
            client.post(url).bearer_auth("k").body(openai_body(false).to_string()).send()
        };
        let answer = ask("api.openai.com").await.unwrap().text().await.unwrap();
        assert!(answer.contains("from the file"), "{answer}");
        assert_eq!(ask("extra.example").await.unwrap().status(), 500);

        kill(&child, signal);
        assert!(child.wait().unwrap().success(), "{signal}");
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains(r#""tls_version":"1.3""#));
        assert!(log.lines().last().unwrap().contains(r#""event":"close""#), "{log}");
    }
}

#[test]
fn mistakes_are_explained() {
    for (arguments, words) in [
        (["--plan", r#"{"first_bite_ms":1}"#], "first_bite_ms"),
        (["--plan", "/no/such/plan"], "/no/such/plan"),
        (["--plan-for", "api.openai.com"], "NAME="),
        (["--log", "/no/such/folder/log"], "/no/such/folder/log"),
        (["--tls", "1.1"], "1.2"),
    ] {
        let output = standin(&arguments).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn help_names_every_fault_and_delay() {
    let output = standin(&["--help"]).output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let plan = serde_json::to_value(da_standin::Plan::default()).unwrap();
    for field in plan.as_object().unwrap().keys() {
        assert!(help.contains(field.as_str()), "{field}");
    }
    for kind in [
        "rate_limited",
        "overloaded",
        "server_error",
        "hang",
        "reset_before_first_token",
        "reset_after_first_token",
        "error_event_after_200",
        "split_utf8",
        "non_audio_200",
        "bad_handshake",
    ] {
        assert!(help.contains(kind), "{kind}");
    }
}
