//! Upgrade and removal.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::built::{Built, answer};
use super::machine::Machine;

const GAME: &str = "/etc/digital-actors/digital-actors.toml";
const COLLECTOR: &str = "/etc/digital-actors/collector.toml";
/// The last line of the next version's default.
const NEXT: &str = "# Of the next version.\n";

/// Every path where a package puts something, but for what apt, dpkg and the service manager write
/// down for themselves.
pub fn files(machine: &Machine) -> BTreeSet<String> {
    let list = machine.run(
        "find /usr /etc /opt /srv /var/lib -xdev -not -path '/var/lib/apt/*' \
         -not -path '/var/lib/dpkg/*' -not -path '/var/lib/systemd/*'",
    );
    list.lines().map(str::to_owned).collect()
}

/// Leaves on the machine a package whose version is higher, and whose default for the game is another.
pub fn leave_next_version(machine: &Machine, built: &Built) {
    let folder = tempfile::tempdir().expect("folder");
    let tree = folder.path().join("tree");
    answer(Command::new("dpkg-deb").arg("--raw-extract").arg(built.package()).arg(&tree));
    let change = |path: &str, change: &dyn Fn(String) -> String| {
        let file = tree.join(path.trim_start_matches('/'));
        let text = fs::read_to_string(&file).expect("read");
        fs::write(&file, change(text)).expect("written");
    };
    change("DEBIAN/control", &|text| text.replace("\nVersion: ", "\nVersion: 1:"));
    change(GAME, &|text| text + NEXT);
    let next = folder.path().join("next.deb");
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--build", "--root-owner-group", "-Zgzip", "-z1"]);
    answer(pack.arg(&tree).arg(&next));
    machine.put(&next, "/acceptance/digital-actors_2.deb");
}

/// After an upgrade, at which nobody was asked anything, and a removal.
pub fn what_was_configured_and_kept_is_still_there(machine: &Machine) {
    let status =
        machine.run("dpkg-query --show --showformat='${Version} ${Status}' digital-actors");
    assert!(status.starts_with("1:") && status.ends_with(" config-files"), "{status}");
    let edited = machine.read(COLLECTOR);
    assert!(edited.as_ref().is_some_and(|text| text.contains("\"renamed\"")), "{edited:?}");
    // What nobody has touched has followed the package.
    assert!(machine.read(GAME).is_some_and(|text| text.ends_with(NEXT)));
    assert!(machine.read("/etc/digital-actors/keys/anthropic").is_some());
    assert!(machine.run("ls /var/lib/private/digital-actors").contains(".sqlite"));
}

pub fn a_purge_leaves_nothing(machine: &Machine, before: &BTreeSet<String>) {
    machine.run("yes | apt purge digital-actors");
    nothing_is_left(machine, before);
}

/// The machine has the files that it had `before`.
pub fn nothing_is_left(machine: &Machine, before: &BTreeSet<String>) {
    let of_systemd = |path: &&String| {
        [
            // Made by the first boot, and the unit of this test.
            "/etc/.updated",
            "/etc/machine-id",
            "/etc/systemd/system/acceptance.service",
            "/var/lib/private",
        ]
        .contains(&path.as_str())
    };
    let after = files(machine);
    let left: Vec<_> = after.difference(before).filter(|path| !of_systemd(path)).collect();
    assert!(left.is_empty(), "{left:#?}");
    let lost: Vec<_> = before.difference(&after).collect();
    assert!(lost.is_empty(), "{lost:#?}");
}
