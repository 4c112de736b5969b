//! A PostgreSQL of the tests' own: Debian's, in a temporary folder, for as long as it is needed.

use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::programs::are_there;

/// Of its one user, `postgres`.
pub const PASSWORD: &str = "password-that-nobody-may-see";

/// It refuses to run as root; so root runs it as `nobody`.
const NOBODY: u32 = 65534;

/// Stops the server when it is told to, and also takes the folder away when nobody is there any
/// more to tell: its input ends with the test's process, however that ends.
const KEEPER: &str = r#"folder=$0; "$@" & server=$!
if read -r _; then kill -INT $server; wait $server; else kill -QUIT $server; wait $server; rm -rf "$folder"; fi"#;

/// A server, which may be stopped and run again. It is gone when this is dropped.
pub struct Postgres {
    folder: PathBuf,
    /// Its own of all loopback addresses, so that its port is nobody else's.
    address: Ipv4Addr,
    port: u16,
    keeper: Mutex<Option<Child>>,
}

impl Default for Postgres {
    fn default() -> Self {
        Self::new()
    }
}

impl Postgres {
    /// Whether there is a PostgreSQL on this machine; says that the test is skipped where there is none.
    pub fn is_there() -> bool {
        are_there(&[&program("initdb").to_string_lossy()])
    }

    /// One that runs.
    pub fn start() -> Self {
        let postgres = Self::new();
        postgres.run();
        postgres
    }

    /// The one that all tests of this program share which do not stop it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One that does not run yet.
    pub fn new() -> Self {
        let postgres = Self::placed();
        let password = postgres.folder.join("password");
        std::fs::write(&password, PASSWORD).expect("written");
        // Only root may, and only root need.
        let _ = chown(&password, Some(NOBODY), Some(NOBODY));
        let made = as_nobody(program("initdb"))
            // A password takes thousands of hashes, and they their time without optimization: over
            // the socket none is asked for.
            .args(["--auth-local=trust", "--auth-host=scram-sha-256", "--username=postgres"])
            .args(["--no-sync", "--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(postgres.data())
            .arg(format!("--pwfile={}", password.display()))
            .output()
            .expect("initdb");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        postgres
    }

    /// A folder, an address and a port for one.
    fn placed() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let nth = STARTED.fetch_add(1, Ordering::Relaxed);
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 128 | a, b, c);
        let port = 15_432 + u16::try_from(nth).expect("few");
        let folder = tempfile::tempdir().expect("folder").keep();
        let _ = chown(&folder, Some(NOBODY), Some(NOBODY));
        Self { folder, address, port, keeper: Mutex::new(None) }
    }

    /// A standby of this one, which has to run, up to date and following it. It does not run yet.
    pub fn standby(&self) -> Self {
        let standby = Self::placed();
        let copied = as_nobody(program("pg_basebackup"))
            .env("PGPASSWORD", PASSWORD)
            .args([
                "--write-recovery-conf",
                "--wal-method=stream",
                "--checkpoint=fast",
                "--no-sync",
            ])
            .arg("--host")
            .arg(&self.folder)
            .args(["--username=postgres", &format!("--port={}", self.port), "--pgdata"])
            .arg(standby.data())
            .output()
            .expect("pg_basebackup");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        standby
    }

    /// Asks something of it over its socket.
    pub fn ask(&self, sql: &str) -> String {
        let mut client = self.client("psql");
        client.args(["--no-psqlrc", "--tuples-only", "--no-align", "--dbname=postgres"]);
        let asked = client.args(["--command", sql]).output().expect("psql");
        assert!(asked.status.success(), "{sql}: {}", String::from_utf8_lossy(&asked.stderr));
        String::from_utf8_lossy(&asked.stdout).trim().to_owned()
    }

    /// Has it speak TLS, from when it runs the next time.
    pub fn use_certificate(&self, certificate_pem: &str, key_pem: &str) {
        for (name, pem) in [("server.crt", certificate_pem), ("server.key", key_pem)] {
            let path = self.data().join(name);
            std::fs::write(&path, pem).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
            let _ = chown(&path, Some(NOBODY), Some(NOBODY));
        }
    }

    /// Starts it, and waits until it answers. It is quick, and may forget when the machine fails.
    pub fn run(&self) {
        self.run_with(&["--fsync=off", "--shared_buffers=16MB"]);
    }

    /// The same with these settings over those of its package.
    pub fn run_with(&self, settings: &[&str]) {
        let tls = if self.data().join("server.key").exists() { "on" } else { "off" };
        let log = File::create(self.folder.join("log")).expect("log");
        let mut keeper = as_nobody("sh".into())
            .args(["-c", KEEPER])
            .arg(&self.folder)
            .arg(program("postgres"))
            .arg("-D")
            .arg(self.data())
            .arg(format!("--listen_addresses={}", self.address))
            .arg(format!("--port={}", self.port))
            .arg(format!("--unix_socket_directories={}", self.folder.display()))
            .arg(format!("--ssl={tls}"))
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("started");
        let tried_since = Instant::now();
        while !self.answers() {
            let is_late = tried_since.elapsed() > Duration::from_secs(30);
            if is_late || keeper.try_wait().expect("asked").is_some() {
                panic!("PostgreSQL did not start: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        *self.keeper.lock().expect("lock") = Some(keeper);
    }

    /// Stops it; it can be run again.
    pub fn stop(&self) {
        let Some(mut keeper) = self.keeper.lock().expect("lock").take() else { return };
        keeper.stdin.take().expect("piped").write_all(b"\n").expect("told");
        keeper.wait().expect("ended");
    }

    /// The URL of a new, empty database, reached over its socket.
    pub fn database(&self) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", MADE.fetch_add(1, Ordering::Relaxed));
        let made = self.client("createdb").arg(&name).output().expect("createdb");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        self.url(&name)
    }

    /// The URL of a database, reached over its socket.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://postgres:{PASSWORD}@{folder}:{}/{database}", self.port)
    }

    /// The URL of its first database, reached over TCP, where it asks for the password.
    pub fn url_over_tcp(&self) -> String {
        format!("postgres://postgres:{PASSWORD}@{}:{}/postgres", self.address, self.port)
    }

    /// Where it listens.
    pub fn socket_address(&self) -> std::net::SocketAddr {
        (self.address, self.port).into()
    }

    /// Its address, which a certificate has to name.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// What it says.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).expect("log")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn answers(&self) -> bool {
        let asked = self.client("pg_isready").stdout(Stdio::null()).status().expect("pg_isready");
        asked.success()
    }

    fn client(&self, name: &str) -> Command {
        let mut client = Command::new(program(name));
        client.env("PGPASSWORD", PASSWORD).arg("--host").arg(&self.folder);
        client.args(["--username=postgres", &format!("--port={}", self.port)]);
        client
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let keeper = self.keeper.lock().ok().and_then(|mut keeper| keeper.take());
        if let Some(mut keeper) = keeper {
            // Its input ends.
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A program of PostgreSQL's: Debian keeps each version in a folder of its own.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let of_debian = versions.ok().and_then(|versions| {
        let programs = versions.flatten().map(|version| version.path().join("bin").join(name));
        programs.filter(|path| path.is_file()).max()
    });
    of_debian.unwrap_or_else(|| Path::new(name).to_owned())
}

fn as_nobody(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    // SAFETY: geteuid only reads, and can't fail.
    if unsafe { libc::geteuid() } == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/");
    command
}
