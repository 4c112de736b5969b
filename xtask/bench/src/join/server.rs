//! The server's own parts, in this process: its calls, their page, and a kernel view.

use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use anyhow::{Result, bail};
use da_server::calls::KernelView;
use da_server::config::Config;
use da_server::kernel::{EndpointConfig, EndpointKind, Kernel, KernelConfig, Unlisted, Watch};
use da_server::metrics::Metrics;
use da_server::provider::{ApiKey, CallReports};
use da_server::{App, Listeners};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{threads, wait_until};
use crate::stage::Stage;
use da_testkit::exposition::Exposition;

const SERVING: &str = "bench-serving";

/// It, until this is dropped.
pub struct Server {
    address: SocketAddr,
    reports: CallReports,
    metrics: Metrics,
    _runtime: Runtime,
    shutdown: CancellationToken,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Watches providers of these names.
    pub fn start(stage: &Stage, hosts: &[String]) -> Result<Self> {
        let kernel = Kernel::load(&KernelConfig { resolve: false, ..KernelConfig::default() });
        if let Some(why) = kernel.unavailable() {
            bail!("no kernel view: {why}");
        }
        let mut config = Config::default();
        config.store.path = stage.scratch.join("join.sqlite");
        config.llm.api_key = ApiKey::new("bench");
        let metrics = Metrics::new()?;
        let (sender, view) = KernelView::channel(kernel.settlements(), kernel.under_way());
        let app = App::new(config, metrics.clone(), Ok(view))?;
        let shutdown = CancellationToken::new();
        let endpoint = EndpointConfig {
            name: "join".to_owned(),
            kind: EndpointKind::Llm,
            hosts: hosts.to_vec(),
            addresses: Vec::new(),
        };
        let watch = Watch {
            endpoints: vec![endpoint],
            unlisted: Unlisted::Drop,
            resolved: Vec::new(),
            max_processes: 0,
        };
        let reader = kernel.start(watch, &metrics, Some(sender), shutdown.clone())?;
        let main = TcpListener::bind("127.0.0.1:0")?;
        let address = main.local_addr()?;
        let reports = app.calls.reports.clone();
        let runtime = threads::runtime(SERVING)?;
        let listeners = Listeners { main, metrics: None };
        runtime.spawn(da_server::run(app, listeners, shutdown.clone()));
        Ok(Self { address, reports, metrics, _runtime: runtime, shutdown, reader })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where calls are reported.
    pub fn reports(&self) -> CallReports {
        self.reports.clone()
    }

    /// CPU time of what answers.
    pub fn cpu_seconds(&self) -> Result<f64> {
        threads::cpu_seconds(SERVING)
    }

    /// Calls that were looked into.
    pub fn known(&self) -> Result<f64> {
        self.joins(&[])
    }

    /// The same as soon as they are so many.
    pub fn known_until(&self, calls: f64) -> Result<f64> {
        wait_until(|| Ok(self.known()? >= calls))?;
        self.known()
    }

    /// Those that both sides' views were found of.
    pub fn joined(&self) -> Result<f64> {
        self.joins(&[("result", "joined")])
    }

    fn joins(&self, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(Exposition(self.metrics.expose()?).total("digital_actors_call_join_total", labels))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(reader) = self.reader.take() {
            // It has nothing to say that was not measured.
            let _ = reader.join();
        }
    }
}
