//! Upgrade and removal.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::built::{Built, answer};
use super::machine::Machine;

const GAME: &str = "/etc/digital-actors/digital-actors.toml";
const COLLECTOR: &str = "/etc/digital-actors/collector.toml";

/// Every path where a package puts something, but for what apt, dpkg and the service manager write
/// down for themselves.
pub fn files(machine: &Machine) -> BTreeSet<String> {
    let list = machine.run(
        "find /usr /etc /opt /srv /var/lib -xdev -not -path '/var/lib/apt/*' \
         -not -path '/var/lib/dpkg/*' -not -path '/var/lib/systemd/*'",
    );
    list.lines().map(str::to_owned).collect()
}

/// To a package whose version is higher and whose default for the game is another.
pub fn an_upgrade_keeps_what_was_configured(machine: &Machine, built: &Built) {
    let folder = tempfile::tempdir().expect("folder");
    let tree = folder.path().join("tree");
    answer(Command::new("dpkg-deb").arg("--raw-extract").arg(built.package()).arg(&tree));
    let change = |path: &str, change: &dyn Fn(String) -> String| {
        let file = tree.join(path.trim_start_matches('/'));
        let text = fs::read_to_string(&file).expect("read");
        fs::write(&file, change(text)).expect("written");
    };
    change("DEBIAN/control", &|text| text.replace("\nVersion: ", "\nVersion: 1:"));
    change(GAME, &|text| text + "# Of the next version.\n");
    let next = folder.path().join("next.deb");
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--build", "--root-owner-group", "-Zgzip", "-z1"]);
    answer(pack.arg(&tree).arg(&next));

    let configured = machine.read(COLLECTOR).expect("configured");
    assert!(configured.contains("renamed"), "the services' test has edited it: {configured}");
    machine.put(&next, "/acceptance/digital-actors_2.deb");
    // It asks nobody: standard input is at its end.
    machine.run("cd /acceptance; apt install ./digital-actors_*.deb < /dev/null");
    assert_eq!(machine.read(COLLECTOR).as_ref(), Some(&configured));
    // What nobody has touched follows the package.
    assert!(machine.read(GAME).is_some_and(|text| text.ends_with("# Of the next version.\n")));
    assert!(machine.read("/etc/digital-actors/keys/anthropic").is_some());
    let version = machine.run("dpkg-query --show --showformat='${Version}' digital-actors");
    assert!(version.starts_with("1:"), "{version}");
}

/// A removal leaves what was configured and kept, a purge nothing.
pub fn a_purge_leaves_nothing(machine: &Machine, before: &BTreeSet<String>) {
    let wanted = "/etc/systemd/system/multi-user.target.wants/digital-actors-collector.service";
    assert!(
        fs::symlink_metadata(machine.path(wanted)).is_ok(),
        "the services' test has enabled it"
    );
    machine.run("yes | apt remove digital-actors");
    assert!(machine.read(COLLECTOR).is_some());
    assert!(machine.run("ls /var/lib/private/digital-actors").contains(".sqlite"));

    machine.run("yes | apt purge digital-actors");
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
