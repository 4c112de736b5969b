//! The official SDKs, and how each is run.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::clients::program::{PYTHON, answered};

/// Sources of the programs.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/sdks/programs");
/// Where `cargo xtask test` installs what `package.json` lists.
const NODE_SDKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/test-node");
/// Questions that each program asks: three answers are streamed, one is not.
pub const QUESTIONS: usize = 4;

/// What an SDK is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Python,
    Node,
}

/// An SDK, and whom it asks.
#[derive(Debug, Clone, Copy)]
pub struct Sdk {
    pub language: Language,
    /// As the programs call it.
    pub name: &'static str,
    /// The variable in which it looks for its key.
    key: &'static str,
    /// The host that it asks.
    pub host: &'static str,
    /// What the catalogue calls that.
    pub provider: &'static str,
}

/// All of them.
pub fn all() -> Vec<Sdk> {
    use Language::{Node, Python};
    let openai = ("openai", "OPENAI_API_KEY", "api.openai.com", "openai");
    let anthropic = ("anthropic", "ANTHROPIC_API_KEY", "api.anthropic.com", "anthropic");
    let elevenlabs = ("elevenlabs", "ELEVENLABS_API_KEY", "api.elevenlabs.io", "elevenlabs");
    let google = ("google", "GOOGLE_API_KEY", "generativelanguage.googleapis.com", "gcp.gemini");
    let each =
        [Python, Node].map(|language| [openai, anthropic, elevenlabs].map(|of| (language, of)));
    let each = each.concat().into_iter().chain([(Python, google)]);
    each.map(|(language, (name, key, host, provider))| Sdk { language, name, key, host, provider })
        .collect()
}

/// Why they can't be run here, if so.
pub fn missing() -> Option<String> {
    let why = |what: &str| Some(format!("no {what}: `cargo xtask test` installs them"));
    let find = "import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, sys.argv[1:])))";
    let python = Command::new(PYTHON)
        .args(["-c", find, "openai", "anthropic", "elevenlabs", "google.genai"])
        .output();
    if !python.is_ok_and(|output| output.status.success()) {
        return why("official Python SDKs");
    }
    let node = Path::new(NODE_SDKS).join("node_modules/openai/package.json");
    if node.exists() { None } else { why("official Node SDKs") }
}

/// Which they are.
pub fn versions() -> String {
    let pinned = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/providers/sdks/requirements.txt");
    let pinned = std::fs::read_to_string(pinned).expect("reads");
    let of_python = all().into_iter().filter_map(|sdk| {
        let line = pinned.lines().find(|line| line.starts_with(&format!("{}==", sdk.package())))?;
        (sdk.language == Language::Python).then(|| line.to_owned())
    });
    let package = std::fs::read_to_string(Path::new(SOURCES).join("package.json")).expect("reads");
    let package: Value = serde_json::from_str(&package).expect("JSON");
    let of_node = package["dependencies"].as_object().expect("SDKs").iter();
    let of_node =
        of_node.map(|(name, version)| format!("{name}@{}", version.as_str().unwrap_or("?")));
    of_python.chain(of_node).collect::<Vec<_>>().join(", ")
}

impl Sdk {
    /// Whether it asks again by itself when it is refused for the moment. For Python, ElevenLabs' does not
    /// where an answer is a stream, and there all are; Google's does not unless it is told to.
    pub fn retries(&self) -> bool {
        self.language == Language::Node || !["elevenlabs", "google"].contains(&self.name)
    }

    /// What the registry of its language calls it.
    fn package(&self) -> &'static str {
        if self.name == "google" { "google-genai" } else { self.name }
    }

    /// What the collector calls the process: both programs name themselves.
    pub fn process(&self) -> String {
        let language = if self.language == Language::Python { "py" } else { "node" };
        format!("{language}-{}", self.name)
    }

    /// Has it ask its questions; returns how many were answered.
    pub fn ask(&self, ca_file: &Path) -> usize {
        let (program, source) = match self.language {
            Language::Python => (PYTHON, "ask.py"),
            Language::Node => ("node", "ask.mjs"),
        };
        let mut command = Command::new(program);
        command.arg(Path::new(SOURCES).join(source)).arg(self.name);
        // Nothing else of the environment: it may lead to a proxy.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env(self.key, "test-key").env("NODE_SDKS", NODE_SDKS);
        answered(command.env("SSL_CERT_FILE", ca_file).env("NODE_EXTRA_CA_CERTS", ca_file))
    }
}
