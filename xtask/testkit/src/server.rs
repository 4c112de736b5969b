//! A running `da-server`, its log, and what it answers.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::built;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program; ended when dropped.
pub struct ServerProgram {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reading: Option<JoinHandle<()>>,
    folder: TempDir,
}

/// The command, with nothing of the test's own environment, in a folder of its own and with a
/// configuration file in it.
pub fn command(arguments: &[&str], toml: &str) -> (Command, TempDir) {
    command_of(&built::program("da-server").expect("built"), arguments, toml)
}

/// The same of the server at another path.
pub fn command_of(server: &Path, arguments: &[&str], toml: &str) -> (Command, TempDir) {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("da.toml");
    std::fs::write(&file, toml).expect("written");
    // For programs that run as somebody else.
    std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("permissions");
    let mut command = Command::new(server);
    command.args(arguments).arg("--config").arg(file).current_dir(&folder);
    command.env_clear().stderr(Stdio::piped());
    command.envs([("PORT", "0"), ("LOG_FORMAT", "json"), ("DA_KERNEL__RESOLVE", "false")]);
    (command, folder)
}

impl ServerProgram {
    /// Starts `da-server` with these arguments and this configuration, and waits until it serves.
    pub fn start(arguments: &[&str], toml: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        Self::start_of(&built::program("da-server").expect("built"), arguments, toml, prepare)
    }

    /// The same of the server at another path.
    pub fn start_of(
        server: &Path,
        arguments: &[&str],
        toml: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let (mut command, folder) = command_of(server, arguments, toml);
        prepare(&mut command);
        let mut child = command.spawn().expect("starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&lines);
        let reading = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                read.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let program = Self { child, lines, reading: Some(reading), folder };
        program.listens(1);
        program
    }

    /// Waits until it has said of `count` listeners where they are, the main one first.
    pub fn listens(&self, count: usize) -> Vec<SocketAddr> {
        self.wait_for("it listens", || self.addresses().len() >= count);
        self.addresses()
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let address = |line: &String| {
            let entry: Value = serde_json::from_str(line).ok()?;
            (entry["message"] == "listening").then(|| entry["address"].as_str()?.parse().ok())?
        };
        self.log().iter().filter_map(address).collect()
    }

    /// What it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line of its log that has all `parts` in it, and returns the line.
    pub fn logged(&self, parts: &[&str]) -> String {
        let find =
            || self.log().into_iter().find(|line| parts.iter().all(|part| line.contains(part)));
        self.wait_for(&format!("{parts:?} in the log"), || find().is_some());
        find().expect("it was there")
    }

    /// Status and body of a GET on its first listener.
    pub fn get(&self, path: &str) -> (u16, String) {
        get(self.addresses()[0], path, "")
    }

    /// Waits until the exposition has this line.
    pub fn exposes(&self, line: &str) {
        let there = || self.get("/metrics").1.lines().any(|exposed| exposed == line);
        self.wait_for(line, there);
    }

    /// The value of a series; none where it is absent.
    pub fn value(&self, series: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(|value| value.parse().expect("a number"))
    }

    /// Writes another configuration into its file and says so by SIGHUP.
    pub fn reload(&self, toml: &str) {
        std::fs::write(self.folder.path().join("da.toml"), toml).expect("written");
        self.signal(libc::SIGHUP);
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: sends a signal to a child that this value started and has not waited for.
        let failed = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(failed, 0);
    }

    /// Waits for its end, and hands over how it ended and all that it logged.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < deadline, "it goes on: {:#?}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        };
        self.reading.take().expect("once").join().expect("the log");
        (status, self.log().join("\n"))
    }

    /// Waits until something is there.
    pub fn wait_for(&self, what: &str, there: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !there() {
            assert!(Instant::now() < deadline, "{what}: {:#?}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for ServerProgram {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of a GET; `headers` are whole lines.
pub fn get(at: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    get_by_name(at, "localhost", path, headers)
}

/// The same of a client that asks for this host.
pub fn get_by_name(at: SocketAddr, host: &str, path: &str, headers: &str) -> (u16, String) {
    let (head, body) = exchange(at, host, path, headers);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), body)
}

/// The head of the response to a GET.
pub fn head(at: SocketAddr, path: &str) -> String {
    exchange(at, "localhost", path, "").0
}

fn exchange(at: SocketAddr, host: &str, path: &str, headers: &str) -> (String, String) {
    let mut socket = TcpStream::connect(at).expect("connects");
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).expect("writes");
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("reads");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}
