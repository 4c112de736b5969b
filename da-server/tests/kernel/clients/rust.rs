//! The client in this process: reqwest over hyper and rustls, as da-server itself uses them.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use reqwest::StatusCode;

use super::job::Job;
use crate::client::{self, Tls};

/// Does `job`, and returns how many requests were answered with status 200. Each connection is a
/// client of its own; they share their TLS sessions.
pub fn run(job: &Job) -> usize {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tls = tls_config(job);
    (0..job.connections).map(|_| runtime.block_on(one_connection(job, tls.clone()))).sum()
}

/// Trusts what `job` says, and keeps sessions. In the clear there must be one, too, or reqwest looks
/// for a provider of cryptography of its own.
pub fn tls_config(job: &Job) -> rustls::ClientConfig {
    let ca_pem = fs::read_to_string(&job.ca_file).expect("reads");
    let tls = if job.tls == Some("1.2") { Tls::V12 } else { Tls::V13 };
    let mut config = Arc::unwrap_or_clone(client::config(&ca_pem, tls));
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let offered: &[&[u8]] = if job.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

async fn one_connection(job: &Job, tls: rustls::ClientConfig) -> usize {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .resolve(&job.name, SocketAddr::new(job.address, job.port))
        .tls_backend_preconfigured(tls);
    if job.http2 && job.tls.is_none() {
        builder = builder.http2_prior_knowledge();
    }
    let client = builder.build().expect("a client");
    let post = async || {
        let mut request = client.post(&job.url).body(job.body);
        for (name, value) in &job.headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("a response");
        let status = response.status();
        response.bytes().await.expect("a whole response");
        usize::from(status == StatusCode::OK)
    };
    let mut answered = 0;
    for _ in 0..job.requests {
        answered += post().await;
    }
    answered + join_all((0..job.at_once).map(|_| post())).await.into_iter().sum::<usize>()
}
