//! A disk that is full, and then has room again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{WELL, is_noticed, keeps_again, told};
use crate::case::{Case, play};
use crate::server::Settings;
use da_testkit::programs::skip;

/// A disk of its own of 400 KB, until it is dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    /// None where this process may not have one.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=400k,mode=777", "tmpfs"]).arg(folder.path());
        let output = mount.output().ok()?;
        output.status.success().then_some(Self(folder))
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("game.sqlite")
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let file = self.filling();
        for bytes in [64 * 1024, 4096, 512, 1] {
            while append(&file, bytes).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.filling()).expect("removed");
    }

    fn filling(&self) -> PathBuf {
        self.0.path().join("filling")
    }
}

fn append(file: &Path, bytes: usize) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = fs::File::options().create(true).append(true).open(file)?;
    file.write_all(&vec![0; bytes])
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn full() {
    let Some(disk) = Disk::mount() else {
        return skip("only root may mount a disk of its own");
    };
    let case = Case { done: "its disk is full, and then has room again", expected: WELL };
    let settings = Settings::healthy().set("DA_STORE__PATH", disk.database().display());
    play(&case, settings, async |server| {
        assert!(server.keeps().await, "before anything was done");
        disk.fill();
        // Of one player, twice: the second is refused in the same session.
        let mut player = server.player().await;
        let plays = crate::server::turn_of(&mut player, "Can you hear me?").await;
        crate::server::turn_of(&mut player, "And now?").await;
        player.leave().await;
        let noticed = is_noticed(server).await;
        disk.free();
        told(&plays, noticed, keeps_again(server).await)
    });
}
