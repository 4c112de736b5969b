//! `da-server check` where there can't be a kernel view.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use da_testkit::built::copy_for_everyone;
use da_testkit::server::{command, command_of};
use serde_json::Value;

/// Exit code and what it says.
fn check(arguments: &[&str], toml: &str, prepare: impl FnOnce(&mut Command)) -> (i32, String) {
    let (mut command, _folder) = command(&[&["check"], arguments].concat(), toml);
    prepare(&mut command);
    said_by(&mut command)
}

/// The same by somebody without privilege.
fn check_as_nobody(arguments: &[&str]) -> (i32, String) {
    let (server, _elsewhere) = copy_for_everyone("da-server").expect("a copy");
    let (mut command, _folder) = command_of(&server, &[&["check"], arguments].concat(), "");
    if is_root() {
        command.uid(65_534).gid(65_534);
    }
    said_by(&mut command)
}

fn said_by(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().expect("ran");
    let said = [stdout, stderr].concat();
    (status.code().expect("ended by itself"), String::from_utf8(said).expect("text"))
}

fn is_root() -> bool {
    // SAFETY: geteuid takes nothing, touches no memory and can't fail.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn without_privilege_it_says_what_is_missing() {
    let (code, said) = check_as_nobody(&["--json"]);
    assert_eq!(code, 2, "{said}");
    let found: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(found["verdict"], "no_kernel_view");
    assert!(found["why_not"].as_str().expect("a reason").contains("CAP_BPF"), "{said}");
    let host = found["host"].as_array().expect("facts");
    let fact = |name: &str| host.iter().find(|fact| fact["name"] == name).expect("a fact");
    assert_eq!(fact("capabilities")["ok"], false);
    assert!(fact("capabilities")["detail"].as_str().expect("what to do").contains("setcap"));
    let programs = found["programs"].as_array().expect("programs");
    assert!(programs.len() > 3 && programs.iter().all(|program| program["state"] == "absent"));
    let families = found["families"].as_array().expect("families");
    assert!(families.len() > 10 && families.iter().all(|family| family["extent"] == "absent"));

    let (code, said) = check_as_nobody(&[]);
    assert_eq!(code, 2);
    for part in ["capabilities ", "setcap", "sock_send ", "socket_connect_seconds ", "absent"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("There is no kernel view: missing CAP_BPF"), "{said}");
}

#[test]
fn it_looks_at_the_host_as_it_is_configured() {
    let (code, said) = check(&[], "[kernel]\nenabled = false\n", |_| {});
    assert_eq!(code, 2);
    assert!(said.contains("kernel.enabled is false"), "{said}");
}

#[test]
fn a_configuration_that_cant_be_used_is_no_finding() {
    let (code, said) = check(&[], "[kernel]\nring_bytes = 1\n", |_| {});
    assert_eq!(code, 3);
    assert!(said.contains("da.toml:2: kernel.ring_bytes = 1"), "{said}");
}

#[test]
fn a_character_without_a_voice_is_no_finding_either() {
    let (code, said) =
        check(&[], "[tts]\nprotocol = \"openai\"\nvoices.clippy = \"nova\"\n", |_| {});
    assert_eq!(code, 3);
    assert!(said.contains("[tts] says nothing of a voice for \"engineer\""), "{said}");
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("bad.toml"), "title = 1\n").expect("written");
    let scenes = format!("[game]\nscenes_dir = {:?}\n", folder.path());
    let (code, said) = check(&[], &scenes, |_| {});
    assert_eq!(code, 3);
    assert!(said.contains("bad.toml:1:"), "{said}");
}
