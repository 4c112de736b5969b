//! The clients, and how each is run.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use da_testkit::programs::imports;

use super::job::Job;
use super::{early_data, rust};

/// Sources of the programs.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/clients/programs");
/// The Python that `cargo xtask test` puts the libraries of `requirements.txt` into.
pub const PYTHON: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/test-python/bin/python");

/// An HTTP client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Rust: reqwest, hyper, rustls.
    Reqwest,
    /// Python: requests, urllib3, OpenSSL.
    Requests,
    /// Python: httpx, h11 or h2, OpenSSL.
    Httpx,
    /// Python: aiohttp, OpenSSL.
    Aiohttp,
    /// Node: fetch, which is undici, OpenSSL.
    Fetch,
    /// Node: http2, which is nghttp2, OpenSSL.
    NodeHttp2,
    /// curl: libcurl, nghttp2, OpenSSL.
    Curl,
    /// Go: net/http, crypto/tls.
    Go,
    /// Java: java.net.http, JSSE.
    Java,
    /// Java: HttpURLConnection, JSSE. It closes its connections itself.
    UrlConnection,
    /// Rust: rustls, which sends the first request of a resumed session as early data.
    EarlyData,
}

impl Client {
    /// As the table calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reqwest => "reqwest",
            Self::Requests => "requests",
            Self::Httpx => "httpx",
            Self::Aiohttp => "aiohttp",
            Self::Fetch => "fetch",
            Self::NodeHttp2 => "node:http2",
            Self::Curl => "curl",
            Self::Go => "net/http",
            Self::Java => "java.net.http",
            Self::UrlConnection => "URLConnection",
            Self::EarlyData => "rustls 0-RTT",
        }
    }
}

impl Client {
    /// What the kernel calls its process, where that is one of its own.
    pub fn process(self) -> &'static str {
        match self {
            Self::Reqwest | Self::EarlyData => "kernel",
            Self::Requests | Self::Httpx | Self::Aiohttp => "python",
            Self::Fetch | Self::NodeHttp2 => "node",
            Self::Curl => "curl",
            Self::Go => "client-go",
            Self::Java | Self::UrlConnection => "java",
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Where Go keeps what it has compiled, for all tests that build with it: most of it is Go's own library.
pub const GO_CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/go-cache");

/// The clients that are programs of their own.
pub struct Programs {
    go: PathBuf,
    /// The folder of its classes.
    java: PathBuf,
}

impl Programs {
    /// Looks for all of them and builds those in Go and in Java.
    ///
    /// # Errors
    /// What is missing.
    pub fn new(folder: &Path) -> Result<Self, String> {
        for program in ["curl", "node", "go", "java", "javac", "nginx"] {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .any(|folder| folder.join(program).is_file());
            if !found {
                return Err(format!("no {program}: `cargo xtask setup` installs it"));
            }
        }
        if !imports(Path::new(PYTHON), "aiohttp, httpx, requests") {
            return Err("no Python libraries: `cargo xtask setup` installs them".to_owned());
        }
        let (go, java) = (folder.join("client-go"), folder.join("client-java"));
        let mut build_go = Command::new("go");
        build_go
            .args(["build", "-o"])
            .arg(&go)
            .arg(Path::new(SOURCES).join("client.go"))
            .env("GO111MODULE", "off")
            .env("GOCACHE", GO_CACHE)
            .env("GOPATH", folder.join("go-path"));
        let mut build_java = Command::new("javac");
        build_java.arg("-d").arg(&java).arg(Path::new(SOURCES).join("client.java"));
        let building = [build_go, build_java]
            .map(|mut build| build.stderr(Stdio::piped()).spawn().expect("a compiler"));
        for build in building {
            let built = build.wait_with_output().expect("a compiler");
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        }
        Ok(Self { go, java })
    }

    /// Lets `client` do `job`; returns how many requests were answered with status 200.
    pub fn run(&self, client: Client, job: &Job) -> usize {
        let text = serde_json::to_string(job).expect("encodes");
        match client {
            Client::Reqwest => rust::run(job),
            Client::EarlyData => early_data::run(job),
            Client::Requests | Client::Httpx | Client::Aiohttp => {
                let script = Path::new(SOURCES).join("client.py");
                answered(Command::new(PYTHON).arg(script).args([client.as_str(), &text]))
            }
            Client::Fetch | Client::NodeHttp2 => {
                let script = Path::new(SOURCES).join("client.mjs");
                let mut node = Command::new("node");
                if let Some(version) = job.tls {
                    node.arg(format!("--tls-min-v{version}"));
                    node.arg(format!("--tls-max-v{version}"));
                }
                node.env("NODE_EXTRA_CA_CERTS", &job.ca_file);
                answered(node.arg(script).args([client.as_str(), &text]))
            }
            Client::Go => answered(Command::new(&self.go).arg(text)),
            Client::Java | Client::UrlConnection => self.java(client, job),
            Client::Curl => (0..job.connections).map(|_| curl(job)).sum(),
        }
    }

    /// Java has no reader of JSON, so each part of the job is a word of its own.
    fn java(&self, client: Client, job: &Job) -> usize {
        let hosts = self.java.join(format!("{}.hosts", job.name));
        fs::write(&hosts, format!("{} {}\n", job.address, job.name)).expect("writes");
        let lines = |headers: &BTreeMap<&str, &str>| -> String {
            headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
        };
        let numbers = [job.connections, job.requests, job.at_once].map(|one| one.to_string());
        let mut java = Command::new("java");
        // It starts sooner so, and is not there for long.
        java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
        java.arg(format!("-Djdk.net.hosts.file={}", hosts.display()));
        java.args(job.tls.map(|version| format!("-Djdk.tls.client.protocols=TLSv{version}")));
        java.arg("-cp").arg(&self.java).args(["Client", client.as_str(), &job.url]);
        java.arg(job.http2.to_string()).arg(&job.ca_file).args(numbers);
        answered(java.args([job.body, &lines(&job.headers), &lines(&job.last_headers)]))
    }
}

/// One process is one connection.
fn curl(job: &Job) -> usize {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--no-buffer", "--write-out", "%{http_code}\n"]);
    let resolve = format!("{}:{}:[{}]", job.name, job.port, job.address);
    curl.args(["--output", "/dev/null", "--resolve", &resolve, "--cacert"]).arg(&job.ca_file);
    curl.arg(if job.http2 { "--http2" } else { "--http1.1" });
    if let Some(version) = job.tls {
        curl.args([&format!("--tlsv{version}"), "--tls-max", version]);
    }
    if job.at_once > 0 {
        curl.arg("--parallel");
    }
    for (name, value) in &job.headers {
        curl.args(["--header", &format!("{name}: {value}")]);
    }
    curl.args(["--data", job.body]);
    curl.arg(format!("{}?[1-{}]", job.url, job.requests + job.at_once));
    let statuses = output(&mut curl);
    statuses.lines().filter(|line| *line == "200").count()
}

/// What `command`, a client, prints: the requests that were answered.
pub fn answered(command: &mut Command) -> usize {
    output(command).trim().parse().expect("a number")
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    String::from_utf8(output.stdout).expect("text")
}

/// What the table was made with.
pub fn versions() -> String {
    let first_line = |command: &mut Command| {
        let output = command.output().expect("runs");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
    };
    let mut versions = vec![
        first_line(Command::new("node").args(["-p", "`node ${process.version}`"])),
        first_line(Command::new("curl").arg("--version")),
        first_line(Command::new("go").arg("version")),
        first_line(Command::new("java").arg("-version")),
        first_line(Command::new("nginx").arg("-v")),
        first_line(Command::new(PYTHON).arg("--version")),
    ];
    let pinned = fs::read_to_string(Path::new(SOURCES).join("requirements.txt")).expect("reads");
    let ours = ["requests==", "httpx[http2]==", "aiohttp=="];
    versions.extend(
        pinned
            .lines()
            .filter(|line| ours.iter().any(|name| line.starts_with(name)))
            .map(str::to_owned),
    );
    versions.join(", ")
}
