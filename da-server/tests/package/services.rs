//! The services, under a real service manager.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::machine::Machine;

/// Ends the machine when the script has ended, or when it takes too long.
const UNIT: &str = "[Unit]
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
TimeoutStartSec=600
ExecStart=/bin/bash /acceptance/services.sh
";

/// systemd's own range for them: <https://systemd.io/UIDS-GIDS/>.
const DYNAMIC_USERS: RangeInclusive<u32> = 61184..=65519;

/// What `services.sh` has seen, by the name of the file.
pub struct Services(BTreeMap<String, String>);

/// Boots the machine, and lets it start, reload, upgrade, stop and remove both services.
pub fn run(machine: &Machine) -> Services {
    machine.write("/etc/systemd/system/acceptance.service", UNIT);
    machine.write("/acceptance/services.sh", include_str!("services.sh"));
    machine.run("mkdir --parents /acceptance/out");
    let booted = machine.boot("acceptance.service");
    let names = machine.run("ls /acceptance/out");
    let read = |name: &str| machine.read(&format!("/acceptance/out/{name}")).unwrap_or_default();
    let seen: BTreeMap<_, _> = names.lines().map(|name| (name.to_owned(), read(name))).collect();
    assert!(booted.status.success(), "{booted:?}\n{seen:#?}");
    // Each line of the trace is `+`, one for each level, and a command.
    let trace = machine.read("/acceptance/trace").expect("a trace");
    for line in trace.lines() {
        machine.has_run(line.trim_start_matches('+').trim());
    }
    Services(seen)
}

impl Services {
    pub fn the_collector_measures_and_says_for_whom(&self) {
        self.holds("collector.health", r#""kernel":{"status":"ok"}"#);
        self.holds("collector.metrics", "\ndigital_actors_ebpf_up 1\n");
        let connection = self.0["collector.metrics"].lines().find(|line| {
            line.starts_with("digital_actors_socket_connections_total{")
                && line.contains(r#"provider="itself""#)
                && line.contains(r#"process="bash""#)
        });
        assert!(connection.is_some(), "{self}");
    }

    pub fn the_collector_takes_over_new_endpoints(&self) {
        self.holds("collector.reloaded", "\ndigital_actors_config_last_reload_successful 1\n");
        self.holds("collector.reloaded", r#"provider="renamed""#);
    }

    pub fn the_game_plays_with_a_key_that_only_root_can_read(&self) {
        self.holds("game.health", r#""kernel":{"status":"ok"}"#);
        self.holds("game.metrics", "\ndigital_actors_ebpf_up 1\n");
        self.holds("game.page", "<title>");
        let state = self.0["game.state"].trim().split_once(' ');
        let (mode, user) = state.unwrap_or_else(|| panic!("{self}"));
        assert_eq!(mode, "600");
        assert!(DYNAMIC_USERS.contains(&user.parse().expect("a user's number")), "{user}");
    }

    /// Neither once it serves, nor a way back to them; and they end as they should.
    pub fn neither_has_a_privilege_left(&self) {
        for service in ["collector", "game"] {
            let privileges = &self.0[&format!("{service}.privileges")];
            let of = |name: &str| {
                let line = privileges.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_else(|| panic!("no {name} in {privileges}")).trim()
            };
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
                assert_eq!(of(set), "0000000000000000", "{service}: {set}");
            }
            // 2: a filter for system calls.
            assert_eq!((of("NoNewPrivs:"), of("Seccomp:")), ("1", "2"), "{service}");
            assert_ne!(of("Uid:").split_whitespace().next(), Some("0"), "{service}");
        }
        for unit in ["digital-actors", "digital-actors-collector"] {
            self.holds(&format!("{unit}.stopped"), "Result=success");
        }
    }

    /// What ran goes on with the new program.
    pub fn an_upgrade_restarts_them(&self) {
        let of =
            |name: &str| self.0[name].split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (before, after) = (of("upgrade.before"), of("upgrade.after"));
        assert_eq!((before.len(), after.len()), (2, 2), "{self}");
        let restarted = |(before, after)| before != after && after != "0";
        assert!(before.iter().zip(&after).all(restarted), "{self}");
        self.holds("upgrade.page", "200 OK");
    }

    /// Some machines decide for themselves when a service is restarted: invoke-rc.d(8).
    pub fn a_policy_against_restarts_is_kept(&self) {
        self.holds("policy.log", "policy-rc.d returned 101");
        assert_eq!(self.0["policy.before"], self.0["policy.after"], "{self}");
    }

    pub fn a_removal_ends_them(&self) {
        assert_eq!(self.0["remove.left"], "", "{self}");
        assert!(!self.0["remove.enabled"].contains("digital-actors"), "{self}");
        assert_eq!(self.0["remove.status"], "deinstall ok config-files", "{self}");
    }

    fn holds(&self, name: &str, words: &str) {
        let seen = self.0.get(name).map_or("", String::as_str);
        assert!(seen.contains(words), "{name} has no {words:?}\n{self}");
    }
}

impl std::fmt::Display for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, seen) in &self.0 {
            writeln!(f, "--- {name}\n{seen}")?;
        }
        Ok(())
    }
}
