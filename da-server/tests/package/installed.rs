//! What is there once the package is installed.

use std::fs;

use serde_json::Value;

use super::built::Built;
use super::machine::Machine;

/// systemd's own measure of how much a service could do, 0 to 10.
const MOST_EXPOSED: f64 = 2.5;
const UNITS: [&str; 2] = ["digital-actors.service", "digital-actors-collector.service"];

/// There is no network: what it depends on must be there, or the package is refused.
pub fn install(machine: &Machine, built: &Built) {
    machine.put(&built.package(), "/acceptance/digital-actors_1.deb");
    machine.run("cd /acceptance; apt install ./digital-actors_*.deb; rm *.deb");
}

pub fn files_are_whole_and_configuration_is_the_operators(machine: &Machine) {
    assert_eq!(machine.run("dpkg --verify digital-actors"), "");
    let conffiles = machine.run("dpkg-query --show --showformat='${Conffiles}' digital-actors");
    let mut conffiles: Vec<_> =
        conffiles.lines().filter_map(|line| line.split_whitespace().next()).collect();
    conffiles.sort_unstable();
    assert_eq!(
        conffiles,
        ["/etc/digital-actors/collector.toml", "/etc/digital-actors/digital-actors.toml"]
    );
    let listed = machine.run("dpkg --listfiles digital-actors");
    let listed: Vec<_> = listed.lines().collect();
    for file in [
        "/usr/bin/da-server",
        "/usr/share/doc/digital-actors/copyright",
        "/usr/share/doc/digital-actors/LICENSE-GPL-2.0",
        "/usr/share/doc/digital-actors/THIRD-PARTY.gz",
        "/usr/share/doc/digital-actors/changelog.gz",
        "/usr/share/doc/digital-actors/docs/DEPLOYMENT.md",
        "/usr/share/digital-actors/prometheus/prometheus.yml",
    ] {
        assert!(listed.contains(&file), "{file} is not in {listed:#?}");
    }
    // Everything of the repository that is meant for operators.
    for (folder, ending, place) in [
        ("dashboards", ".json", "/usr/share/digital-actors/dashboards"),
        (
            "deploy/grafana/provisioning/dashboards",
            ".yml",
            "/usr/share/digital-actors/grafana/provisioning/dashboards",
        ),
        (
            "deploy/grafana/provisioning/datasources",
            ".yml",
            "/usr/share/digital-actors/grafana/provisioning/datasources",
        ),
        ("deploy/nginx", ".conf", "/usr/share/digital-actors/nginx"),
        ("deploy/prometheus", ".yml", "/usr/share/digital-actors/prometheus"),
        ("deploy/prometheus/rules", ".yml", "/usr/share/digital-actors/prometheus/rules"),
        ("deploy/prometheus/tests", ".yml", "/usr/share/digital-actors/prometheus/tests"),
        ("deploy/systemd", ".service", "/usr/lib/systemd/system"),
        ("docs", ".md", "/usr/share/doc/digital-actors/docs"),
    ] {
        let folder = format!("{}/../{folder}", env!("CARGO_MANIFEST_DIR"));
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        for entry in entries.map(|entry| entry.expect("an entry")) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let file = format!("{place}/{name}");
            let packed = listed.contains(&file.as_str());
            assert!(!name.ends_with(ending) || packed, "{file} is not in the package");
        }
    }
    let told =
        machine.run("dpkg-query --show --showformat='${Maintainer}, ${Homepage}' digital-actors");
    assert_eq!(told, concat!(env!("CARGO_PKG_AUTHORS"), ", ", env!("CARGO_PKG_REPOSITORY")));
    let keys = machine.run("stat --format='%a %U' /etc/digital-actors/keys");
    assert_eq!(keys.trim(), "700 root");
}

/// On the machine, where nothing of the repository is. What is on the web is left out.
pub fn links_lead_to_what_is_installed(machine: &Machine) {
    let looked_at = machine.run(
        r#"cd /usr/share
        find doc/digital-actors digital-actors -name '*.md' | while read -r page; do
            grep -oE '\]\([^)#]+' "$page" | grep -v '://' | sed "s|^](|$(dirname "$page")/|"
        done | sort -u | while read -r link; do
            if [ -e "$link" ]; then echo "there $link"; else echo "missing $link"; fi
        done"#,
    );
    let (there, missing): (Vec<_>, Vec<_>) =
        looked_at.lines().partition(|line| line.starts_with("there "));
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(there.len() > 20, "{looked_at}");
}

pub fn the_program_runs_and_has_a_kernel_view(machine: &Machine) {
    let version = machine.run("da-server --version");
    assert_eq!(version.trim(), concat!("da-server ", env!("CARGO_PKG_VERSION")));
    // Some programs may be missing on some kernels; that there is no view at all is exit code 2.
    let check = machine.try_run("da-server check --json");
    let found: Value = serde_json::from_slice(&check.stdout).unwrap_or_else(|error| {
        panic!("{error}: {check:?}");
    });
    assert!(matches!(check.status.code(), Some(0 | 1)), "{found:#}");
    // The game's own is read as well, up to the key that it still lacks.
    let serve = machine.try_run("da-server serve --config /etc/digital-actors/digital-actors.toml");
    let said = String::from_utf8_lossy(&serve.stderr);
    assert_eq!(serve.status.code(), Some(1), "{said}");
    assert!(said.contains("key_anthropic"), "{said}");
}

pub fn man_pages_and_completions_are_well_formed(machine: &Machine) {
    let commands = machine.run("ls /usr/share/man/man1/da-server*.1.gz");
    assert!(commands.lines().count() >= 5, "{commands}");
    for page in commands.lines() {
        // mandoc wants to know in which form a page is: these are man(7), not mdoc(7).
        let complaints = machine.try_run(&format!("mandoc -T lint -W warning {page}"));
        assert!(complaints.status.success(), "{page}: {complaints:?}");
    }
    let page = without_overstrikes(&machine.run("mandoc /usr/share/man/man1/da-server.1.gz"));
    for word in ["SYNOPSIS", "SIGHUP", "/etc/digital-actors"] {
        assert!(page.contains(word), "no {word} in\n{page}");
    }
    let completions = "/usr/share/bash-completion/completions/da-server";
    let completed = machine.run(&format!(
        "bash -n {completions}; bash -c '. {completions}; COMP_WORDS=(da-server col); COMP_CWORD=1; \
         _da__server da-server col da-server; echo \"${{COMPREPLY[*]}}\"'"
    ));
    assert_eq!(completed.trim(), "collect");
}

/// Terminals' bold is a letter, a step back, and the letter again.
fn without_overstrikes(page: &str) -> String {
    let mut plain = String::new();
    for letter in page.chars() {
        if letter == '\u{8}' {
            plain.pop();
        } else {
            plain.push(letter);
        }
    }
    plain
}

pub fn units_are_clean_and_confined(machine: &Machine) {
    for unit in UNITS {
        let complaints = machine.run(&format!("systemd-analyze verify --man=no {unit} 2>&1"));
        assert_eq!(complaints, "", "{unit}");

        let path = format!("/usr/lib/systemd/system/{unit}");
        let table =
            machine.run(&format!("systemd-analyze security --no-pager --offline=yes {path}"));
        let overall = table.lines().find_map(|line| line.split_once("Overall exposure level for"));
        let (_, overall) = overall.unwrap_or_else(|| panic!("{table}"));
        let figure = overall.split(": ").nth(1).and_then(|text| text.split(' ').next());
        let figure: f64 = figure.expect(overall).parse().expect(overall);
        eprintln!("systemd-analyze security {unit}: {figure}");
        assert!(figure <= MOST_EXPOSED, "{table}");
    }
}
