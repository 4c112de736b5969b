//! The server's privileges, seen from outside: /proc/PID/status and its own exposition.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use da_standin::{Options, Standin};

use crate::client::{Client, Tls, config};
use crate::lab::{alone, skip};

const NAME: &str = "privileges.kernel.test";

/// The server wants the providers' keys; nothing here calls a provider.
const KEYS: [&str; 2] = ["ANTHROPIC_API_KEY", "ELEVENLABS_API_KEY"];

/// A running `da-server`; ended when dropped.
struct Server {
    child: Child,
    at: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(prepare: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = free.local_addr().expect("an address");
        drop(free);
        let file = folder.path().join("server.toml");
        let toml = format!(
            "listen = \"{at}\"\n[[endpoint]]\nname = \"privileges\"\nkind = \"llm\"\nhosts = [\"{NAME}\"]\n"
        );
        std::fs::write(&file, toml).expect("written");
        make_readable(folder.path());
        let mut command = Command::new(env!("CARGO_BIN_EXE_da-server"));
        command.current_dir(folder.path()).arg("serve").arg("--config").arg(&file);
        command.env_clear().stderr(Stdio::piped());
        command.envs(KEYS.map(|name| (name, "none")));
        prepare(&mut command);
        let child = command.spawn().expect("starts");
        let server = Self { child, at, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        // The port is bound before the programs are loaded: only an answer tells that it is ready.
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < deadline, "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server.get("/health");
        server
    }

    fn get(&self, path: &str) -> String {
        let mut socket = TcpStream::connect(self.at).expect("connects");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("writes");
        let mut response = String::new();
        socket.read_to_string(&mut response).expect("reads");
        response
    }

    /// Lines of /proc/PID/status of every thread that begin with `prefix`.
    fn status_lines(&self, prefix: &str) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("tasks");
        tasks
            .flat_map(|task| {
                let status = task.expect("a task").path().join("status");
                let text = std::fs::read_to_string(status).unwrap_or_default();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .filter(|line| line.starts_with(prefix))
            .collect()
    }

    /// Ends it and returns what it logged.
    fn stop(mut self) -> String {
        self.child.kill().expect("ends");
        let mut log = String::new();
        let stderr = self.child.stderr.take().expect("piped");
        for line in BufReader::new(stderr).lines() {
            log.push_str(&line.expect("text"));
            log.push('\n');
        }
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// For the server that runs as nobody.
fn make_readable(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).expect("permissions");
}

fn is_root() -> bool {
    // SAFETY: geteuid takes nothing, touches no memory and can't fail.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn without_privilege_the_game_plays_and_says_what_is_missing() {
    let _alone = alone();
    let server = Server::start(|command| {
        if is_root() {
            command.uid(65_534).gid(65_534);
        }
    });
    let health = server.get("/health");
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    assert!(health.contains(r#""why":"missing_capability""#), "the log has the sentence: {health}");
    let metrics = server.get("/metrics");
    assert!(metrics.contains("\ndigital_actors_ebpf_up 0\n"), "{metrics}");
    let unavailable = "digital_actors_ebpf_unavailable{reason=\"missing_capability\"} 1";
    assert!(metrics.contains(unavailable), "{metrics}");
    assert!(!metrics.contains("digital_actors_ebpf_program_runs_total"), "absent, not 0");
    let log = server.stop();
    assert!(log.contains("missing CAP_BPF and CAP_PERFMON"), "{log}");
}

#[test]
fn after_start_nothing_is_left_to_take_away_and_events_still_flow() {
    let _alone = alone();
    if !is_root() {
        return skip("not root: there is no privilege to drop");
    }
    let server = Server::start(|_| {});
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        let lines = server.status_lines(set);
        assert!(lines.len() > 2, "{set} of every thread");
        for line in lines {
            assert_eq!(line.split_whitespace().nth(1), Some("0000000000000000"), "{line}");
        }
    }
    assert!(server.status_lines("NoNewPrivs:").iter().all(|line| line.ends_with('1')));
    assert!(server.status_lines("Threads:").len() > 2);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = Options { names: vec![NAME.to_owned()], ..Options::default() };
    let standin = runtime.block_on(Standin::start(options)).expect("a stand-in");
    let tls = config(standin.ca_pem(), Tls::V13);
    for _ in 0..4 {
        let mut client = Client::connect(standin.addr(), NAME, Some(&tls));
        client.handshake().expect("a handshake");
        client.exchange(NAME, r#"{"first_byte_ms":5}"#, true);
        client.close();
    }
    let series =
        "digital_actors_socket_connect_seconds_count{endpoint=\"privileges\",kind=\"llm\"} 4";
    let deadline = Instant::now() + Duration::from_secs(5);
    while !server.get("/metrics").contains(series) {
        assert!(Instant::now() < deadline, "no events:\n{}", server.get("/metrics"));
        std::thread::sleep(Duration::from_millis(20));
    }
    let metrics = server.get("/metrics");
    assert!(metrics.contains("\ndigital_actors_ebpf_up 1\n"), "{metrics}");
    drop(server);
}
