//! nginx, and wrk against it.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::stage::{BEGINNING, Stage};
use da_testkit::program::Program;

const PORT: u16 = 8080;
/// The name that wrk asks for.
pub const HOST: &str = "server.bench.test";
/// Connections that wrk keeps.
pub const CONNECTIONS: usize = 64;

const NGINX: &str = include_str!("nginx.conf");
const WRK_REPORT: &str = include_str!("wrk-report.lua");

/// A running nginx.
pub struct WebServer(Program);

/// What wrk measured in one run.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Load {
    requests: u64,
    duration_us: f64,
    p99_us: f64,
    errors: u64,
}

impl Load {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests() / self.duration_us * 1e6
    }

    /// Latency of which one request in a hundred takes more.
    pub fn p99_us(&self) -> f64 {
        self.p99_us
    }

    /// How many were answered.
    pub fn requests(&self) -> f64 {
        self.requests as f64
    }
}

impl WebServer {
    /// Starts it.
    pub fn start(stage: &Stage) -> Result<Self> {
        let config = stage.scratch.join("nginx.conf");
        fs::write(&config, NGINX)?;
        fs::write(stage.scratch.join("wrk-report.lua"), WRK_REPORT)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&stage.scratch).arg("-c").arg(&config);
        let mut nginx = stage.start("nginx", command)?;
        nginx.wait_for(BEGINNING, |_| TcpStream::connect(("127.0.0.1", PORT)).ok())?;
        Ok(Self(nginx))
    }

    /// Its process: there is one.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// As many requests as it can answer in that time.
    pub fn load(&self, stage: &Stage, lasts: Duration) -> Result<Load> {
        let mut command = Command::new("wrk");
        command
            .args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
            .args(["--duration", &format!("{}s", lasts.as_secs()), "--script"])
            .arg(stage.scratch.join("wrk-report.lua"))
            .args(["--header", &format!("Host: {HOST}"), &format!("http://127.0.0.1:{PORT}/")]);
        let output = command.output().context("cannot start wrk")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let report = said.lines().find(|line| line.starts_with('{'));
        let report = report.with_context(|| format!("wrk said: {said}"))?;
        let load: Load = serde_json::from_str(report)?;
        ensure!(load.errors == 0 && load.requests > 0, "not all requests were answered: {said}");
        Ok(load)
    }
}
