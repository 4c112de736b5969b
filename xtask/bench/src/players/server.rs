//! The server under test: `da-server` as it is released, in a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use da_standin::{DEFAULT_NAMES, Standin};
use serde_json::{Value, json};

use super::database::Database;
use crate::stage::{BEGINNING, Stage};
use da_testkit::exposition::Exposition;
use da_testkit::program::Program;

/// What is played: a scene in which nobody speaks first.
pub const SCENE: &str = "bench";

const SCENE_FILE: &str = r#"
title = "Bench"
description = "Nobody speaks first."
[character]
id = "lookout"
name = "Lookout"
description = "Sees far."
back_story = "Has always stood up there."
instructions = "Answer."
emotion_style = "calm"
voice = "v"
"#;

/// Where it listens: nobody else does in this network namespace.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8889);

/// A running server.
pub struct Server {
    process: Program,
    agent: ureq::Agent,
}

impl Server {
    /// Starts it, and waits until it answers.
    pub fn start(stage: &Stage, standin: &Standin, database: &Database) -> Result<Self> {
        let ca_file = stage.scratch.join("ca.pem");
        fs::write(&ca_file, standin.ca_pem())?;
        let resolve: BTreeMap<_, _> = DEFAULT_NAMES.map(|name| (name, standin.addr())).into();
        let config = json!({
            "llm": {"max_concurrent": 10_000},
            "tts": {"max_concurrent": 10_000},
            "http_client": {"ca_file": ca_file, "resolve": resolve},
            "kernel": {"resolve": false},
        });
        Self::with(stage, config, database)
    }

    /// One with this configuration, besides where it listens and what is played.
    pub fn with(stage: &Stage, mut config: Value, database: &Database) -> Result<Self> {
        let scenes = stage.scratch.join("scenes");
        fs::create_dir_all(&scenes)?;
        fs::write(scenes.join(format!("{SCENE}.toml")), SCENE_FILE)?;
        config["listen"] = json!(ADDRESS);
        // All players come from one address, and at once.
        config["websocket"] = json!({
            "max_sessions": 10_000,
            "max_sessions_per_address": 10_000,
            "starts_per_minute": 1_000_000,
            "starts_per_minute_per_address": 1_000_000,
            "requests_per_minute_per_address": 1_000_000,
        });
        config["game"] = json!({"scenes_dir": scenes, "requests_per_minute": 100_000});
        let path = stage.scratch.join("server.toml");
        fs::write(&path, toml::to_string(&config)?)?;
        let mut command = Command::new(&stage.server);
        command.arg("--config").arg(&path).arg("serve").env_clear();
        command.envs([("ANTHROPIC_API_KEY", "stand-in"), ("ELEVENLABS_API_KEY", "stand-in")]);
        let (variable, place) = database.setting();
        command.env(variable, place);
        let mut process = stage.start("server", command)?;
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10)));
        let agent = config.build().new_agent();
        process.wait_for(BEGINNING, |_| get(&agent, "/health").ok())?;
        Ok(Self { process, agent })
    }

    /// Where players go.
    pub fn address(&self) -> SocketAddr {
        ADDRESS
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// `/metrics`.
    pub fn scrape(&self) -> Result<Exposition> {
        get(&self.agent, "/metrics").map(Exposition).context("the server does not answer")
    }
}

fn get(agent: &ureq::Agent, path: &str) -> Result<String, ureq::Error> {
    agent.get(format!("http://{ADDRESS}{path}")).call()?.body_mut().read_to_string()
}
