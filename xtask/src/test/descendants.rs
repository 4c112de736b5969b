//! Ending a program that hangs, and what it has started.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use crate::command::run_or_why;

/// Ends the process with this number and all that descend from it; through sudo where these may be
/// root's. Who has ended by then, or is not ours to end, stays as it is.
pub fn end(process: u32, with_sudo: bool) {
    let mut kill = if with_sudo { Command::new("sudo") } else { Command::new("kill") };
    if with_sudo {
        kill.args(["--non-interactive", "kill"]);
    }
    kill.arg("-9").args(with_descendants(process).iter().map(u32::to_string));
    if let Err(why) = run_or_why(&mut kill) {
        eprintln!("    not all could be ended: {}", why.trim());
    }
}

/// The process and all that descend from it.
fn with_descendants(process: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    for child in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(parent) = parent(child) {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut found = vec![process];
    let mut next = 0;
    while let Some(parent) = found.get(next) {
        found.extend(children.remove(parent).unwrap_or_default());
        next += 1;
    }
    found
}

/// The fourth field of `/proc/PID/stat`, after a name that may hold anything: proc(5).
fn parent(process: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_program_ends_with_what_it_has_started() {
        let mut program = Command::new("sh").args(["-c", "sleep 600 & sleep 600"]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while with_descendants(program.id()).len() < 3 {
            assert!(Instant::now() < deadline, "both are there");
            std::thread::sleep(Duration::from_millis(10));
        }
        let all = with_descendants(program.id());
        end(program.id(), false);
        assert_eq!(program.wait().unwrap().signal(), Some(9));
        // Whoever inherits them may be slow to ask how they ended.
        let lives = |process: &u32| {
            let state = fs::read_to_string(format!("/proc/{process}/stat"));
            state.is_ok_and(|text| text.contains("(sleep)") && !text.contains(") Z"))
        };
        while all[1..].iter().any(lives) {
            assert!(Instant::now() < deadline, "they have ended");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
