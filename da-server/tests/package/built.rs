//! What `cargo xtask dist` makes.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder with a tarball, a Debian package and their checksums.
pub struct Built {
    folder: PathBuf,
}

impl Built {
    /// Made once for all tests.
    pub fn get() -> &'static Self {
        static BUILT: OnceLock<Built> = OnceLock::new();
        BUILT.get_or_init(|| Self::build("dist"))
    }

    /// Made once more, elsewhere.
    pub fn again() -> Self {
        Self::build("dist-again")
    }

    /// Packs the server that these tests were built with, as it is: optimized it would take minutes.
    fn build(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        cargo.args(["xtask", "dist", "--profile", "dev"]);
        cargo.args(["--binary", env!("CARGO_BIN_EXE_da-server"), "--output"]).arg(&folder);
        // What cargo has told this test would look like a change to the build scripts of others, and
        // the permission to use what is unstable, which is for libtest, like another compiler.
        cargo.env_remove("RUSTC_BOOTSTRAP");
        for (variable, _) in env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&variable);
            }
        }
        answer(&mut cargo);
        Self { folder }
    }

    /// Names and checksums, after holding them against the files.
    pub fn sums(&self) -> String {
        answer(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(&self.folder));
        fs::read_to_string(self.folder.join("SHA256SUMS")).expect("SHA256SUMS")
    }

    /// The Debian package.
    pub fn package(&self) -> PathBuf {
        self.file(".deb")
    }

    /// The tarball.
    pub fn tarball(&self) -> PathBuf {
        self.file(".tar.gz")
    }

    /// Every path in the tarball, without the folder that it unpacks into.
    pub fn files_of_tarball(&self) -> BTreeSet<String> {
        let list = answer(Command::new("tar").arg("-tzf").arg(self.tarball()));
        let inside = |line: &str| line.split_once('/').map(|(_, path)| path.to_owned());
        list.lines().filter_map(inside).collect()
    }

    /// Every path in the package.
    pub fn files_of_package(&self) -> BTreeSet<String> {
        let tar = format!("dpkg-deb --fsys-tarfile '{}' | tar -t", self.package().display());
        let list = answer(Command::new("sh").args(["-c", &tar]));
        list.lines().filter_map(|line| line.strip_prefix("./").map(str::to_owned)).collect()
    }

    fn file(&self, ending: &str) -> PathBuf {
        let entries = fs::read_dir(&self.folder).expect("listed");
        let mut paths = entries.map(|entry| entry.expect("an entry").path());
        let found = paths.find(|path| path.to_string_lossy().ends_with(ending));
        found.unwrap_or_else(|| panic!("no *{ending} in {}", self.folder.display()))
    }
}

/// What `command` says on standard output; it must succeed.
pub fn answer(command: &mut Command) -> String {
    answer_or_why(command).unwrap_or_else(|why| panic!("{why}"))
}

/// The same; where it does not succeed, all that it says.
pub fn answer_or_why(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}\n{said}{stderr}", output.status))
}
