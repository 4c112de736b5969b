//! Stands between a scraper and a server, and has another `Accept` go on than came.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

/// Serves `/{job}` for each job.
#[derive(Clone)]
pub struct Relay {
    server: SocketAddr,
    http: reqwest::Client,
    /// And what goes on in place of what the scraper asks for, if anything does.
    jobs: &'static [(&'static str, Option<&'static str>)],
    given: Arc<Mutex<Vec<(String, String)>>>,
}

impl Relay {
    /// To a server's `/metrics`, and where it listens itself.
    pub async fn start(
        server: SocketAddr,
        jobs: &'static [(&'static str, Option<&'static str>)],
    ) -> (Self, SocketAddr) {
        let http = da_server::provider::http_client(&Default::default()).expect("client");
        let relay = Self { server, http, jobs, given: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let routes = Router::new().route("/{job}", get(pass)).with_state(relay.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (relay, address)
    }

    /// Whether every answer to a job was of this type, and there was one.
    pub fn gave(&self, job: &str, kind: &str) -> bool {
        let given = self.given.lock().expect("no panic");
        let mut of_it = given.iter().filter(|(name, _)| name == job).peekable();
        of_it.peek().is_some() && of_it.all(|(_, given)| given == kind)
    }
}

async fn pass(
    State(relay): State<Relay>,
    Path(job): Path<String>,
    mut headers: HeaderMap,
) -> impl IntoResponse {
    let accept = relay.jobs.iter().find(|(name, _)| *name == job).expect("a job").1;
    if let Some(accept) = accept {
        headers.insert(header::ACCEPT, accept.parse().expect("a value"));
    }
    headers.remove(header::HOST);
    let request = relay.http.get(format!("http://{}/metrics", relay.server)).headers(headers);
    let response = request.send().await.expect("an answer");
    let headers = response.headers().clone();
    let kind = headers[header::CONTENT_TYPE].to_str().expect("text").to_owned();
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip", "Prometheus takes it compressed");
    relay.given.lock().expect("no panic").push((job, kind));
    (headers, response.bytes().await.expect("a body"))
}
