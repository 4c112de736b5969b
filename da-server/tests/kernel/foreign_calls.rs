//! Sends inside of system calls that are about something else: what those have in their buffers is no first send.

use std::process::{Command, Stdio};

use da_server::kernel::Unlisted;
use da_testkit::programs::{are_there, skip};

use crate::lab::{Lab, endpoint};
use crate::plain;

/// Whom the connection is to.
const NAME: &str = "sent-by-the-ring.kernel.test";
/// Who is named in what the call writes to a file: of that no more would be read than is sent.
const FOREIGN: &str = "file.kernel.test";
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/programs/uring.py");
/// Most of these sends are made as a write returns, but some as an interrupt does.
const TIMES: usize = 5;

#[test]
fn what_another_call_writes_is_not_read() {
    if !are_there(&["python3"]) {
        return;
    }
    let watched = [endpoint("sent", NAME), endpoint("written", FOREIGN)];
    let Some(mut lab) = Lab::open(&watched, Unlisted::Drop) else { return };
    let port = plain::serve("127.0.0.1:0").port().to_string();
    let [sent, written] = [NAME, FOREIGN].map(plain::request);
    let [sent, written] = [sent, written].map(|bytes| String::from_utf8(bytes).expect("text"));
    for _ in 0..TIMES {
        let mut program = Command::new("python3")
            .args([PROGRAM, &port, &sent, &written])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python3");
        lab.follow(program.id());
        let status = program.wait().expect("it ends");
        let said = std::io::read_to_string(program.stderr.take().expect("piped"));
        let said = said.expect("what it says");
        if said.starts_with("no io_uring") {
            return skip(&said);
        }
        assert!(status.success(), "{said}");
    }
    // Another connection, after those: by then all that they have told is read.
    let address = format!("127.0.0.1:{port}");
    let mut last = std::net::TcpStream::connect(address).expect("connects");
    plain::exchange(&mut last, NAME);
    drop(last);
    lab.wait_closed(1);
    let seen = lab.close();
    assert!(!seen.is_empty(), "the last one was seen");
    let foreign = seen.iter().filter(|one| one.endpoint == "written").count();
    assert_eq!(foreign, 0, "of what was written to a file");
}
