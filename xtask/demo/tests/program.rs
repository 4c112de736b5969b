//! The program. Cargo builds it for this test, and so for those of other packages that start it.

use std::process::Command;

#[test]
fn without_its_programs_it_says_which_one_can_not_be_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_da-demo"));
    demo.arg("--programs").arg(folder.path()).arg("--folder").arg(folder.path().join("demo"));
    let ended = demo.output().expect("it starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains("cannot start da-standin"), "{said}");
}
