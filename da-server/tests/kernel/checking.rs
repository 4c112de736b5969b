//! `da-server check` where there is a kernel view: it finds what a collector on the same host has.

use da_server::kernel::config::Hooks;
use da_server::kernel::{Extent, KernelConfig, Preflight, Verdict};
use da_testkit::programs::{are_there, skip};
use da_testkit::server::{ServerProgram, command};
use serde_json::Value;
use std::process::Command;

use crate::lab::cant_load;
use crate::turns::beside;

#[test]
fn a_check_finds_what_a_collector_has() {
    let _turn = beside([]);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    // Or the syscall tier might be shed by the time it is looked at.
    let toml = "[kernel]\ncpu_budget = 1.0\n";
    let (mut check, _folder) = command(&["check", "--json"], toml);
    let output = check.output().expect("ran");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected = match found["verdict"].as_str() {
        Some("exact") => 0,
        Some("degraded") => 1,
        other => panic!("there is a kernel view: {other:?}"),
    };
    assert_eq!(output.status.code(), Some(expected));
    assert!(found["why_not"].is_null());
    for fact in found["host"].as_array().expect("facts") {
        assert_eq!(fact["ok"], true, "it stands in the way, and does not: {fact}");
    }

    let collector = ServerProgram::start(&["collect"], toml, |_| {});
    for program in found["programs"].as_array().expect("programs") {
        let [name, state] = ["program", "state"].map(|key| program[key].as_str().expect("text"));
        // What runs once has done its work by the time it is looked at.
        let state = if name == "existing" && state == "attached" { "finished" } else { state };
        collector.exposes(&format!(
            "digital_actors_ebpf_program_state{{program=\"{name}\",state=\"{state}\"}} 1"
        ));
    }
}

#[test]
fn a_user_namespace_of_its_own_is_told_from_a_kernel_that_refuses() {
    if !are_there(&["unshare"]) {
        return;
    }
    let (check, _folder) = command(&["check", "--json"], "");
    let mut inside = Command::new("unshare");
    inside.args(["--user", "--map-root-user"]).arg(check.get_program()).args(check.get_args());
    inside.current_dir(check.get_current_dir().expect("a folder"));
    let output = inside.output().expect("ran");
    let said = String::from_utf8_lossy(&output.stderr);
    let Ok(found) = serde_json::from_slice::<Value>(&output.stdout) else {
        return skip(&format!("no user namespace can be had: {said}"));
    };
    assert_eq!(output.status.code(), Some(2), "{found}");
    let why_not = found["why_not"].as_str().expect("there is none");
    assert!(why_not.contains("user namespace of its own"), "{why_not}");
    assert!(why_not.ends_with("(missing_capability)"), "{why_not}");
    let facts = found["host"].as_array().expect("facts");
    let capabilities = facts.iter().find(|fact| fact["name"] == "capabilities").expect("a fact");
    assert_eq!(capabilities["ok"], false, "{capabilities}");
}

#[test]
fn the_hooks_of_older_kernels_are_told_and_degrade() {
    let _turn = beside([]);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let found = Preflight::run(&KernelConfig { hooks: Hooks::Older, ..KernelConfig::default() });
    assert_eq!(found.verdict, Verdict::Degraded, "{found:?}");
    let state = |name| found.programs.iter().find(|found| found.program == name).expect(name).state;
    assert_eq!((state("sock_recv"), state("tcp_read")), ("missing", "attached"));
    let family = |name| found.families.iter().find(|found| found.family == name).expect("a family");
    let pickup = family("socket_pickup_seconds");
    assert_eq!(pickup.extent, Extent::Degraded);
    assert!(pickup.substitutes.contains(&"tcp_read") && pickup.without.is_empty(), "{pickup:?}");
    assert_eq!(family("socket_connect_seconds").extent, Extent::Exact);
}
