//! The tarball, on a machine without the package.

use std::collections::BTreeSet;

use super::built::Built;
use super::machine::Machine;
use super::removal;

const CONFIGURATION: &str = "/etc/digital-actors/collector.toml";

/// Unpacks it as the guide says, once and then once more, as one does with the next version.
pub fn the_tarball_installs_over_what_is_there(machine: &Machine, built: &Built) {
    let system = "stat --format='%a %u %g %n' / /usr /usr/bin /etc";
    let before = machine.run(system);
    machine.put(&built.tarball(), "/acceptance/digital-actors-1.tar.gz");
    unpack(machine);
    let version = machine.run("da-server --version");
    assert_eq!(version.trim(), concat!("da-server ", env!("CARGO_PKG_VERSION")));
    let owners =
        machine.run("stat --format='%u %g %a' /usr/bin/da-server /etc/digital-actors/keys");
    assert_eq!(owners, "0 0 755\n0 0 700\n");

    machine.write(CONFIGURATION, "# mine\n");
    unpack(machine);
    assert_eq!(machine.read(CONFIGURATION).as_deref(), Some("# mine\n"));
    assert_eq!(machine.run(system), before, "folders of the system are as they were");
    let complaints = machine.run("systemd-analyze verify --man=no digital-actors.service 2>&1");
    assert_eq!(complaints, "");
}

/// As the guide says it; `before` is what there was without it.
pub fn it_is_removed_without_a_trace(machine: &Machine, before: &BTreeSet<String>) {
    machine.run(
        r"cd /acceptance
        tar -tzf digital-actors-*.tar.gz | sed -n 's|^[^/]*/usr/|/usr/|p' | grep -v '/$' > files
        xargs -d '\n' rm -f < files
        rm -rf /usr/share/digital-actors /usr/share/doc/digital-actors /etc/digital-actors /etc/default/digital-actors
        rm -rf /var/lib/private/digital-actors
        rmdir -p --ignore-fail-on-non-empty /usr/share/fish/vendor_completions.d",
    );
    removal::nothing_is_left(machine, before);
}

fn unpack(machine: &Machine) {
    let program = "tar -xzf digital-actors-*.tar.gz -C / --strip-components=1 --no-overwrite-dir --wildcards '*/usr'";
    let configuration = "tar -xzf digital-actors-*.tar.gz -C / --strip-components=1 --skip-old-files --wildcards '*/etc'";
    machine.run(&format!("cd /acceptance; {program}; {configuration}"));
}
