//! A disk of a test's own, which can be filled: a small tmpfs. Only root can mount one.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use da_testkit::programs::skip;

use super::*;

/// Enough for an empty database and some turns.
const DISK_BYTES: usize = 400 * 1024;

/// A mounted disk, until it is dropped.
struct Disk(TempDir);

impl Disk {
    /// `None`, which is said, where this process may not mount.
    fn mounted() -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let size = format!("size={DISK_BYTES}");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self(folder)),
            Ok(done) => {
                skip(&format!("no tmpfs: {}", String::from_utf8_lossy(&done.stderr).trim()));
                None
            }
            Err(error) => {
                skip(&format!("no mount: {error}"));
                None
            }
        }
    }

    /// Leaves no byte of room.
    fn fill(&self) {
        let mut filler = File::create(self.0.path().join("filler")).expect("made");
        for size in [4096, 512, 1] {
            while filler.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.0.path().join("filler")).expect("removed");
    }

    fn store(&self) -> Opened {
        let path = self.0.path().join("a.sqlite");
        Opened::with(StoreConfig { path, ..StoreConfig::default() })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn long(asked: &str) -> Turn {
    Turn { answer: "x".repeat(20_000), ..turn(asked) }
}

#[tokio::test]
async fn a_disk_that_was_full_is_written_to_again_once_there_is_room() {
    let Some(disk) = Disk::mounted() else { return };
    for failed_turns in 1..=5 {
        let opened = disk.store();
        let mut session = new_session(failed_turns);
        let lease = opened.store.create_session(&session).await.expect("created");
        opened.store.add_turn(lease, &turn("before"), "{}").await.expect("room");
        disk.fill();
        for _ in 0..failed_turns {
            // The first ones may still fit into what SQLite has of the disk already.
            while opened.store.add_turn(lease, &long("lost"), "{}").await.is_ok() {}
        }
        assert!(opened.database_errors() >= f64::from(failed_turns));
        disk.free();
        opened.store.ping().await.expect("it takes what is written");
        // Over every connection that there may be: none may hold the others up.
        let turns = ["one", "two", "three", "four", "five", "six", "seven", "eight"].map(turn);
        let adding = turns.iter().map(|turn| opened.store.add_turn(lease, turn, "{}"));
        for kept in futures_util::future::join_all(adding).await {
            kept.unwrap_or_else(|error| panic!("after {failed_turns} failures: {error}"));
        }
        session.token_hash[1] = 1;
        opened.store.create_session(&session).await.expect("and others can begin");
        opened.store.close().await;
    }
}
