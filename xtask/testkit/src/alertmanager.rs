//! A real Alertmanager with a configuration of the caller's.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::Program;

/// How long it may take to begin its work, and to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running Alertmanager that keeps nothing beyond its life.
pub struct Alertmanager {
    program: Program,
    address: SocketAddr,
    _folder: TempDir,
}

impl Alertmanager {
    /// Whether the programs are installed.
    pub fn is_installed() -> bool {
        let asked = Command::new("prometheus-alertmanager").arg("--version").output();
        asked.is_ok_and(|answer| answer.status.success())
    }

    /// Starts one with `config`, alone, and waits until it answers.
    ///
    /// # Errors
    /// If it refuses the configuration: what it says about it.
    pub fn start(config: &Path) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let mut command = Command::new("prometheus-alertmanager");
        command
            .arg("--config.file")
            .arg(config)
            .arg("--storage.path")
            .arg(folder.path().join("data"))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]);
        let mut program = Program::start(command, &folder.path().join("log"))?;
        let address = program.wait_for(PATIENCE, |said| {
            let (_, rest) = said.split_once("msg=\"Listening on\" address=")?;
            rest.split_whitespace().next()?.parse().ok()
        })?;
        Ok(Self { program, address, _folder: folder })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has written to its log.
    pub fn said(&self) -> String {
        self.program.said()
    }

    /// Hands it alerts, each with `labels` and more as its API has them.
    ///
    /// # Errors
    /// If it refuses them.
    pub fn hand(&self, alerts: &Value) -> Result<()> {
        let request = agent().post(self.url()).header("content-type", "application/json");
        request.send(alerts.to_string()).context("the alerts were refused")?;
        Ok(())
    }

    /// The alerts that it holds, with what becomes of each under `status`.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        let mut answer = agent().get(self.url()).call().context("no answer")?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
    }

    fn url(&self) -> String {
        format!("http://{}/api/v2/alerts", self.address)
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().new_agent()
}
