//! The API of calls, asked as anybody asks it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use da_server::calls::CallHistory;
use da_server::config::Config;
use da_server::kernel::Reason;
use da_server::metrics::Metrics;
use da_server::provider::ApiKey;
use da_server::{App, Listeners};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A server whose page and JSON are about these calls.
pub struct Served {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    at: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Served {
    /// Serves what is kept there.
    pub fn start(recent: &Arc<CallHistory>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.store.path = folder.path().join("game.sqlite");
        config.llm.api_key = ApiKey::new("test-key");
        let metrics = Metrics::new().expect("metrics");
        let mut app = App::new(config, metrics, Err(Reason::Disabled)).expect("an app");
        app.calls.history = Arc::clone(recent);
        let main = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = main.local_addr().expect("an address");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listeners = Listeners { main, metrics: None };
        runtime.spawn(da_server::run(app, listeners, CancellationToken::new()));
        let http = da_server::provider::http_client(&Default::default()).expect("a client");
        Self { runtime, http, at, _folder: folder }
    }

    /// What `/api/calls/{id}` answers.
    pub fn call(&self, id: u64) -> Value {
        let asked = async {
            let answer = self.http.get(format!("http://{}/api/calls/{id}", self.at)).send().await?;
            answer.error_for_status()?.json().await
        };
        self.runtime.block_on(asked).expect("a call")
    }
}
