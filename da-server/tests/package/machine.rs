//! A Debian in a container.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::built::{answer, answer_or_why};

/// Its files, which are gone when this is dropped.
pub struct Machine {
    folder: Option<TempDir>,
    root: PathBuf,
    /// What was run in it: whole scripts, each to its end.
    ran: RefCell<Vec<String>>,
}

/// `program`, as root.
pub fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", program]);
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The code name of the Debian that this machine runs: what was compiled here needs its libraries.
pub fn debian() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    (value("ID")? == "debian").then(|| value("VERSION_CODENAME"))?
}

/// Why no container can be started here, if so.
pub fn cant_start() -> Option<String> {
    if debian().is_none() {
        return Some("this is not Debian".to_owned());
    }
    if !is_root() && !as_root("true").output().is_ok_and(|output| output.status.success()) {
        return Some("a container takes root".to_owned());
    }
    for program in ["debootstrap", "systemd-nspawn"] {
        if let Err(error) = as_root(program).arg("--version").output() {
            return Some(format!("{program}: {error}; `cargo xtask test` installs it"));
        }
    }
    None
}

impl Machine {
    /// A new one, from a tarball.
    pub fn unpack(tarball: &Path) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("folder");
        let root = folder.path().join("root");
        fs::create_dir(&root).expect("created");
        let machine = Self { folder: Some(folder), root, ran: RefCell::default() };
        let mut tar = as_root("tar");
        tar.args(["--extract", "--numeric-owner", "--file"]).arg(tarball);
        answer(tar.arg("--directory").arg(&machine.root));
        // Nothing of it has to survive a power cut.
        machine.write("/etc/dpkg/dpkg.cfg.d/unsafe-io", "force-unsafe-io\n");
        machine
    }

    /// Where `path` of the machine is for us.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Puts a file into it, and the folders above.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.folder.as_ref().expect("not dropped").path().join("file");
        fs::write(&file, text).expect("written");
        self.put(&file, path);
    }

    /// Copies a file into it.
    pub fn put(&self, from: &Path, path: &str) {
        answer(as_root("install").args(["-D", "--mode=0644"]).arg(from).arg(self.path(path)));
    }

    /// What a file of it says; nothing if it is not there.
    pub fn read(&self, path: &str) -> Option<String> {
        let output = as_root("cat").arg(self.path(path)).output().expect("cat");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether anything runs in it, or why not.
    pub fn starts(&self) -> Result<(), String> {
        answer_or_why(self.container().args(["--", "true"])).map(drop)
    }

    /// Runs a command line in it, without a service manager, and waits for it.
    pub fn try_run(&self, script: &str) -> Output {
        self.container().args(["--", "sh", "-euc", script]).output().expect("systemd-nspawn")
    }

    /// The same; it must succeed. Returns what it says on standard output.
    pub fn run(&self, script: &str) -> String {
        let said = answer(self.container().args(["--", "sh", "-euc", script]));
        self.has_run(script);
        said
    }

    /// Notes that this was run in it.
    pub fn has_run(&self, script: &str) {
        self.ran.borrow_mut().push(script.to_owned());
    }

    /// Every line that was run, and every command in it.
    pub fn commands(&self) -> BTreeSet<String> {
        let ran = self.ran.borrow();
        let lines = ran.iter().flat_map(|script| script.lines());
        let commands = ran.iter().flat_map(|script| script.split(['\n', ';', '|', '&']));
        let commands = lines.chain(commands);
        commands.map(|command| command.trim().to_owned()).collect()
    }

    /// Boots it into one of its units; returns when the service manager has ended.
    pub fn boot(&self, unit: &str) -> Output {
        let mut container = self.container();
        container.args(["--boot", "--", &format!("systemd.unit={unit}")]);
        container.output().expect("systemd-nspawn")
    }

    /// With a network of its own. A container is not allowed to load BPF programs unless it is said.
    fn container(&self) -> Command {
        let mut container = as_root("systemd-nspawn");
        container.args(["--quiet", "--console=pipe", "--register=no", "--keep-unit"]);
        container.args(["--private-network", "--resolv-conf=off", "--timezone=off"]);
        container.args(["--capability=CAP_BPF,CAP_PERFMON", "--system-call-filter=bpf"]);
        container.arg("--directory").arg(&self.root);
        container
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What root has made there only root can delete.
        let _ = as_root("rm").args(["-rf", "--one-file-system"]).arg(&self.root).output();
        self.folder.take();
    }
}
