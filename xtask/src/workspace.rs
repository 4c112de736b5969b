//! Where things are in this repository.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The variable, set in `.cargo/config.toml`, that names the BPF object's place.
const BPF_OBJECT_VARIABLE: &str = "DA_EBPF_OBJECT";

/// The target that BPF programs are compiled for on little-endian hosts.
pub const BPF_TARGET: &str = "bpfel-unknown-none";

/// The folders of this repository that the commands read and write.
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The repository that this program was compiled in.
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the xtask package has no parent folder")?
            .to_owned();
        Ok(Self { root })
    }

    /// The repository's top folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Programs that the commands install for themselves, so that nothing outside changes.
    pub fn tools(&self) -> PathBuf {
        self.root.join("target/tools")
    }

    /// Cargo's target folder for the BPF programs: another compiler writes it than the host's, and
    /// in one folder each would throw away what the other built.
    pub fn bpf_target(&self) -> PathBuf {
        self.root.join("target/bpf")
    }

    /// The object with the BPF program that does nothing, as cargo leaves it.
    pub fn empty_bpf_object(&self) -> PathBuf {
        self.bpf_target().join(BPF_TARGET).join("release/da-ebpf-empty")
    }

    /// The Grafana dashboards, and their source.
    pub fn dashboards(&self) -> PathBuf {
        self.root.join("dashboards")
    }

    /// What others run it with: manifests, configurations, rules.
    pub fn deploy(&self) -> PathBuf {
        self.root.join("deploy")
    }

    /// What the benchmarks found, and what the programs they started said.
    pub fn bench_output(&self) -> PathBuf {
        self.root.join("target/bench")
    }

    /// The packages that `cargo xtask dist` makes.
    pub fn dist(&self) -> PathBuf {
        self.root.join("target/dist")
    }

    /// Where da-server's build script looks for the BPF object.
    pub fn bpf_object(&self) -> Result<PathBuf> {
        env::var_os(BPF_OBJECT_VARIABLE).map(PathBuf::from).with_context(|| {
            format!("{BPF_OBJECT_VARIABLE} is not set: start this with `cargo xtask`")
        })
    }

    /// Configuration, logs and database of the latest demo on `port`.
    pub fn demo(&self, port: u16) -> PathBuf {
        self.root.join(format!("target/demo-{port}"))
    }

    /// What tests leave behind to be looked at: screenshots, logs, scrapes.
    pub fn test_output(&self) -> PathBuf {
        self.root.join("target/test-output")
    }
}
