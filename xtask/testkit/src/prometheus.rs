//! A real Prometheus with a configuration of the caller's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::api::{Api, Labels, Series};
use crate::program::Program;

/// A port of its own.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long it may take to begin its work.
const STARTING: Duration = Duration::from_secs(30);

/// A running Prometheus that keeps nothing beyond its life.
pub struct Prometheus {
    program: Program,
    api: Api,
    _folder: TempDir,
}

/// One place that it scrapes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The labels that all its series get, `job` and `instance` among them.
    pub labels: Labels,
    /// Where its metrics are.
    pub scrape_url: String,
    /// `up`, `down`, or `unknown` before the first scrape.
    pub health: String,
    /// What went wrong; empty if nothing did.
    pub last_error: String,
}

/// A group of rules as it evaluates them.
#[derive(Debug, Clone, Deserialize)]
pub struct RuleGroup {
    /// Its name.
    pub name: String,
    /// What it evaluates, in that order.
    pub rules: Vec<Rule>,
}

/// A recording or an alerting rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// What it records, or its alert's name.
    pub name: String,
    /// Its expression, as Prometheus writes it.
    pub query: String,
    /// `alerting` or `recording`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `ok`, `err`, or `unknown` before the first evaluation.
    pub health: String,
    /// What went wrong; empty if nothing did.
    #[serde(default)]
    pub last_error: String,
}

/// An alert that is pending or fires.
#[derive(Debug, Clone, Deserialize)]
pub struct Alert {
    /// Its labels, `alertname` among them.
    pub labels: Labels,
    /// What the reader is told.
    pub annotations: Labels,
    /// `pending` or `firing`.
    pub state: String,
}

impl Prometheus {
    /// Whether the programs are installed.
    pub fn is_installed() -> bool {
        let asked = Command::new("prometheus").arg("--version").output();
        asked.is_ok_and(|answer| answer.status.success())
    }

    /// Starts one with `config`, whose relative paths begin at its own folder, and waits until it
    /// answers, on a free port.
    ///
    /// # Errors
    /// If it refuses the configuration: what it says about it.
    pub fn start(config: &Path) -> Result<Self> {
        Self::start_at(ANY, config)
    }

    /// As [`Self::start`], listening on `address`.
    ///
    /// # Errors
    /// If it refuses the configuration or can't listen there: what it says about it.
    pub fn start_at(address: SocketAddr, config: &Path) -> Result<Self> {
        Self::start_with(address, config, &[])
    }

    /// As [`Self::start`], and it takes what others send it by remote write.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn start_store(config: &Path) -> Result<Self> {
        Self::start_with(ANY, config, &["--web.enable-remote-write-receiver"])
    }

    fn start_with(address: SocketAddr, config: &Path, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let mut command = Command::new("prometheus");
        command
            .arg("--config.file")
            .arg(config)
            .arg("--storage.tsdb.path")
            .arg(folder.path().join("data"))
            .arg(format!("--web.listen-address={address}"))
            // What fires before it knows its Alertmanager is dropped, and else sent again after a minute.
            .arg("--rules.alert.resend-delay=1s")
            .args(arguments);
        let mut program = Program::start(command, &folder.path().join("log"))?;
        let address = program.wait_for(STARTING, |said| {
            // It listens before it can be asked.
            said.contains("Server is ready to receive web requests").then_some(())?;
            let (_, rest) = said.split_once("msg=\"Listening on\" address=")?;
            rest.split_whitespace().next()?.parse().ok()
        })?;
        Ok(Self { program, api: Api::new(address), _folder: folder })
    }

    /// Its HTTP API, for what has no method here.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// What it has written to its log.
    pub fn said(&self) -> String {
        self.program.said()
    }

    /// The series that `promql` has now. A scalar is a series without labels.
    ///
    /// # Errors
    /// If it does not parse or can't be evaluated.
    pub fn query(&self, promql: &str) -> Result<Vec<Series>> {
        series(self.api.get("/api/v1/query", &[("query", promql)])?)
    }

    /// What `promql` was in the last `back`, a sample every `step`.
    ///
    /// # Errors
    /// If it does not parse or can't be evaluated.
    pub fn query_range(&self, promql: &str, back: Duration, step: Duration) -> Result<Vec<Series>> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let seconds = |time: Duration| format!("{:.3}", time.as_secs_f64());
        let (start, end, step) = (seconds(now - back), seconds(now), seconds(step));
        let parameters = [("query", promql), ("start", &start), ("end", &end), ("step", &step)];
        series(self.api.get("/api/v1/query_range", &parameters)?)
    }

    /// What it scrapes.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn targets(&self) -> Result<Vec<Target>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Targets {
            active_targets: Vec<Target>,
        }
        let targets: Targets = self.api.get("/api/v1/targets", &[("state", "active")])?;
        Ok(targets.active_targets)
    }

    /// What it evaluates.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn rules(&self) -> Result<Vec<RuleGroup>> {
        #[derive(Deserialize)]
        struct Rules {
            groups: Vec<RuleGroup>,
        }
        Ok(self.api.get::<Rules>("/api/v1/rules", &[])?.groups)
    }

    /// The alerts that are pending or fire.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn alerts(&self) -> Result<Vec<Alert>> {
        #[derive(Deserialize)]
        struct Alerts {
            alerts: Vec<Alert>,
        }
        Ok(self.api.get::<Alerts>("/api/v1/alerts", &[])?.alerts)
    }
}

/// The series of an answer to a query.
fn series(data: Value) -> Result<Vec<Series>> {
    let result = &data["result"];
    let series = match data["resultType"].as_str() {
        Some("scalar") => {
            vec![Series::deserialize(serde_json::json!({"value": result}))?]
        }
        _ => Vec::deserialize(result)?,
    };
    Ok(series)
}
