//! The databases that a server can have.

use std::fmt;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::Running;
use crate::stage::Stage;

/// PostgreSQL refuses to run as root, which this is: `nobody` does.
const NOBODY: u32 = 65534;

/// Where Debian's package has its programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// A database for a server.
pub struct Database {
    name: &'static str,
    setting: (&'static str, String),
    /// Its process, and then its folder, which end with this.
    _server: Option<(Running, TempDir)>,
}

impl Database {
    /// A file.
    pub fn sqlite(stage: &Stage) -> Result<Self> {
        let folder = stage.scratch.join("sqlite");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let setting = ("DA_STORE__PATH", folder.join("game.sqlite").display().to_string());
        Ok(Self { name: "SQLite", setting, _server: None })
    }

    /// A PostgreSQL as its package configures it, so with `fsync`, reached over its socket.
    pub fn postgres(stage: &Stage) -> Result<Self> {
        // Where nobody can get at it: the folders above this project may be closed to them.
        let folder = tempfile::tempdir()?;
        chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        let at = folder.path().display().to_string();
        let data = format!("{at}/data");
        let made = as_nobody("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .args(["--pgdata", &data])
            .output()
            .context("cannot start initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut command = as_nobody("postgres");
        command.args(["-D", &data, "--listen_addresses="]);
        command.arg(format!("--unix_socket_directories={at}"));
        let mut process = Running::start("postgres", &mut command, &stage.scratch)?;
        process.wait_until(|running| {
            running.said().contains("database system is ready to accept connections")
        })?;
        let host = at.replace('/', "%2F");
        let setting = ("DATABASE_URL", format!("postgres://postgres@{host}/postgres"));
        Ok(Self { name: "PostgreSQL", setting, _server: Some((process, folder)) })
    }

    /// The variable that leads a server to it, and its value.
    pub fn setting(&self) -> (&'static str, &str) {
        (self.setting.0, &self.setting.1)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

fn as_nobody(program: &str) -> Command {
    let mut command = Command::new(format!("{PROGRAMS}/{program}"));
    command.uid(NOBODY).gid(NOBODY).current_dir("/");
    command
}
