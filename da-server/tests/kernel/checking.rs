//! `da-server check` where there is a kernel view: it finds what a collector on the same host has.

use da_server::kernel::config::Hooks;
use da_server::kernel::{Extent, KernelConfig, Preflight, Verdict};
use serde_json::Value;

use crate::lab::{alone, cant_load, skip};
use crate::program::{Program, command};

#[test]
fn a_check_finds_what_a_collector_has() {
    let _alone = alone();
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

    let collector = Program::start(&["collect"], toml, |_| {});
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
fn the_hooks_of_older_kernels_are_told_and_degrade() {
    let _alone = alone();
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
