//! A real model and a real voice: programs of others, each served on this machine.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Sources of what serves them.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/real/providers");
/// The Python that `cargo xtask test --real` puts them into.
const PYTHON: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/real-providers/bin/python");

/// A running one. It ends with its input.
pub struct Provider {
    /// Where it is.
    pub url: String,
    child: Child,
    input: Option<ChildStdin>,
}

impl Provider {
    /// Starts that program, and waits until it has loaded what it serves. What it says of itself goes to
    /// `log`.
    pub fn start(program: &str, log: &Path) -> Self {
        let log = std::fs::File::create(log).expect("a file");
        let mut child = Command::new(PYTHON)
            .arg(Path::new(SOURCES).join(program))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("Python: `cargo xtask test --real` installs it");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let url = output.lines().map_while(Result::ok).find(|line| line.starts_with("http"));
        let url = url.unwrap_or_else(|| panic!("{program} ended: see its log"));
        Self { url, child, input }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.input.take());
        // How it ends tells nothing.
        let _ = self.child.wait();
    }
}
