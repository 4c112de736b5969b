//! The same object on a second kernel: Debian 12's, which has none of the tracepoints of 6.3.

use std::path::Path;

use da_testkit::programs::{are_there, skip};

mod inside;
mod machine;

/// What else runs in the machine: `da-server` itself, without privileges after its start.
const SERVER: &str = "privileges::after_start_nothing_is_left_to_take_away_and_events_still_flow";

#[test]
fn an_older_kernel() {
    let Some(image) = std::env::var_os("DA_GUEST_KERNEL") else {
        return skip("DA_GUEST_KERNEL names no kernel: `cargo xtask test` downloads one");
    };
    let Some(emulator) = std::env::var_os("DA_EMULATOR") else {
        return skip("DA_EMULATOR names no emulator: `cargo xtask test` unpacks one");
    };
    if !are_there(&["busybox", "strip"]) {
        return;
    }
    let tests = ["guest::inside::measures", SERVER];
    let console = machine::run(Path::new(&emulator), Path::new(&image), &tests);
    let said: Vec<_> =
        console.lines().map(str::trim).filter(|line| line.contains("GUEST ")).collect();
    println!("{}", said.join("\n"));
    let has = |line: &str| said.iter().any(|said| said.ends_with(line));
    assert!(said.iter().any(|line| line.contains("GUEST kernel 6.1.")), "{console}");
    for test in tests {
        assert!(has(&format!("GUEST test {test} 0")), "{test}:\n{console}");
    }
    for program in ["sys_enter", "sys_exit", "reset_received", "reset_sent"] {
        assert!(
            has(&format!("program_state{{program=\"{program}\",state=\"attached\"}} 1")),
            "{console}"
        );
    }
    for (program, substitute) in
        [("sock_send", "syscall_send"), ("sock_arrival", "tcp_segment"), ("sock_recv", "tcp_read")]
    {
        let state = |program, state| {
            has(&format!("program_state{{program=\"{program}\",state=\"{state}\"}} 1"))
        };
        assert!(state(program, "missing"), "{program}:\n{console}");
        assert!(state(substitute, "attached"), "{substitute}:\n{console}");
    }
}
