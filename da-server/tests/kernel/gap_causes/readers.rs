//! Programs that read a response, each with the HTTP library of its language.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients::program::GO_CACHE;

/// Sources of the programs.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/gap_causes/programs");

/// What builds and runs them.
pub const NEEDED: &[&str] = &["python3", "node", "go", "java", "javac"];

/// A language, and the library that its program reads with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Python,
    Node,
    Go,
    Java,
}

impl Reader {
    pub const ALL: [Self; 4] = [Self::Python, Self::Node, Self::Go, Self::Java];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "http.client",
            Self::Node => "node:http",
            Self::Go => "net/http",
            Self::Java => "URLConnection",
        }
    }
}

/// The programs, built.
pub struct Readers {
    folder: PathBuf,
}

impl Readers {
    /// Builds those that have to be.
    pub fn build(folder: &Path) -> Self {
        let source = |name: &str| Path::new(SOURCES).join(name);
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(folder.join("reader-go")).arg(source("reader.go"));
        go.env("GO111MODULE", "off").env("GOCACHE", GO_CACHE).env("GOPATH", folder.join("go-path"));
        let mut java = Command::new("javac");
        java.arg("-d").arg(folder).arg(source("Reader.java"));
        for mut compiler in [go, java] {
            let built = compiler.output().expect("a compiler");
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        }
        Self { folder: folder.to_owned() }
    }

    /// One that makes so many requests one after the other, each on a connection of its own. Between the head of a
    /// response and its body it reads nothing for `stop_ms`.
    pub fn command(
        &self,
        reader: Reader,
        host: &str,
        path: &str,
        stop_ms: u64,
        requests: usize,
    ) -> Command {
        let mut command = match reader {
            Reader::Python => Command::new("python3"),
            Reader::Node => Command::new("node"),
            Reader::Go => Command::new(self.folder.join("reader-go")),
            Reader::Java => Command::new("java"),
        };
        match reader {
            Reader::Python => command.arg(Path::new(SOURCES).join("reader.py")),
            Reader::Node => command.arg(Path::new(SOURCES).join("reader.mjs")),
            Reader::Go => &mut command,
            Reader::Java => command
                .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
                .arg(&self.folder)
                .arg("Reader"),
        };
        command.args([host, path, &stop_ms.to_string(), &requests.to_string()]);
        command
    }
}
