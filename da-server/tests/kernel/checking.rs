//! `da-server check` where there is a kernel view: it finds what a collector on the same host has.

use serde_json::Value;

use crate::lab::{alone, cant_load, skip};
use crate::program::{Program, command};

#[test]
fn a_check_finds_what_a_collector_has() {
    let _alone = alone();
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let (mut check, _folder) = command(&["check", "--json"], "");
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

    let collector = Program::start(&["collect"], "", |_| {});
    for program in found["programs"].as_array().expect("programs") {
        let [name, state] = ["program", "state"].map(|key| program[key].as_str().expect("text"));
        collector.exposes(&format!(
            "digital_actors_ebpf_program_state{{program=\"{name}\",state=\"{state}\"}} 1"
        ));
    }
    if expected == 0 {
        let (_, metrics) = collector.get("/metrics");
        let missing = "state=\"missing\"} 1";
        assert!(!metrics.contains(missing), "not everything is exact: {metrics}");
    }
}
