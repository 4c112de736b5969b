//! What of a process's bytes leaves the kernel: the test reads the ring buffer as it lies in memory.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use std::{io::Write, str};

use da_server::kernel::Unlisted;

use crate::attribution::exchanges;
use crate::lab::{Lab, endpoint};
use crate::plain;

const NAME: &str = "secrets.kernel.test";
const STRANGER: &str = "stranger.secrets.kernel.test";
/// In none of the names.
const SECRET: &str = "hunter2-e4d909c2";

/// What is mapped of BPF maps, bytes: the ring buffers of this process's views.
fn mapped() -> Vec<u8> {
    let memory = File::open("/proc/self/mem").expect("memory");
    let maps = fs::read_to_string("/proc/self/maps").expect("mappings");
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.contains("anon_inode:bpf")) {
        let (from, to) =
            line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).expect("an address"));
        let mut bytes = vec![0; (to - from) as usize];
        // Another test's view may be over by now.
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            found.append(&mut bytes);
        }
    }
    found
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A connection whose first send is this.
fn say(to: SocketAddr, first: &str) -> TcpStream {
    let mut socket = TcpStream::connect(to).expect("connects");
    socket.write_all(first.as_bytes()).expect("writes");
    socket
}

#[test]
fn no_secret_leaves_the_kernel() {
    let Some(lab) = Lab::open(&[endpoint("secrets", NAME)], Unlisted::Drop) else { return };
    let to = plain::serve("127.0.0.1:0");
    let body = format!("{{\"prompt\": \"my password is {SECRET}\"}}");
    let length = body.len();
    let mut kept = Vec::new();
    for host in [NAME, STRANGER] {
        let head = format!(
            "host: {host}\r\nauthorization: Bearer {SECRET}\r\ncookie: session={SECRET}\r\n\
             x-api-key: {SECRET}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        for target in [
            format!("/v1/models/m:stream?key={SECRET}"),
            format!("/bot{SECRET}/chat"),
            format!("http://me:{SECRET}@{host}/v1?key={SECRET}"),
        ] {
            kept.push(say(to, &format!("POST {target} HTTP/1.1\r\n{head}")));
        }
    }
    for foreign in [
        format!("*2\r\n$4\r\nAUTH\r\n$16\r\n{SECRET}\r\n"),
        format!("AUTH PLAIN {SECRET}\r\n"),
        format!("GET {SECRET} HTTP/1.1\r\nhost: {STRANGER}\r\n\r\n"),
        format!("GET http://{SECRET}:a/b@{STRANGER}/ HTTP/1.1\r\nhost: {STRANGER}\r\n\r\n"),
        SECRET.to_owned(),
        // As a TLS record begins.
        format!("\x16\x03 {SECRET}"),
        format!("\x16\x03\x01\x02\x00\x01 {SECRET}"),
    ] {
        kept.push(say(to, &foreign));
    }
    // By then all are read, and what is read stays in the ring until it is overwritten.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !has(&mapped(), STRANGER) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(kept);
    let deadline = Instant::now() + Duration::from_secs(60);
    while exchanges(&lab, "secrets") < 3.0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(exchanges(&lab, "secrets"), 3.0, "by their names");
    let mapped = mapped();
    println!("{} bytes of ring buffers are mapped", mapped.len());
    assert!(has(&mapped, NAME) && has(&mapped, STRANGER), "this is where names go by");
    let at = mapped.windows(SECRET.len()).position(|window| window == SECRET.as_bytes());
    if let Some(at) = at {
        panic!("{:?}", str::from_utf8(&mapped[at.saturating_sub(200)..at + SECRET.len()]));
    }
}
