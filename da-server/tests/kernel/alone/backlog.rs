//! Connects that wait because the server accepts nobody.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use da_server::kernel::{Unlisted, What};
use da_standin::Options;

use super::heartbeat::Heartbeat;
use super::report::Errors;
use crate::client::{Client, Tls, config};
use crate::lab::{Lab, endpoint};
use crate::turns::undisturbed;

const NAME: &str = "backlog.kernel.test";

#[test]
fn connects_that_wait_for_a_full_backlog() {
    let _alone = undisturbed();
    const WAITING: usize = 3;
    let Some(mut lab) = Lab::open(&[endpoint("backlog", NAME)], Unlisted::Drop) else { return };
    let standin =
        lab.standin(Options { names: vec![NAME.to_owned()], backlog: 0, ..Options::default() });
    let (to, config) = (standin.addr(), config(standin.ca_pem(), Tls::V13));
    standin.pause_accept();
    // Fills the backlog; what comes after it is dropped by the kernel and sent again after 1 s.
    let filler = TcpStream::connect(to).expect("fits");
    let slow = || {
        let mut client = Client::connect(to, NAME, Some(&config));
        client.handshake().expect("a handshake");
        let connect = (client.local, client.connect_ns);
        assert!(client.exchange(NAME, r#"{"first_byte_ms":5}"#, true).starts_with(b"HTTP"));
        client.close();
        connect
    };
    let heartbeat = Heartbeat::start();
    let connects: HashMap<SocketAddr, u64> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..WAITING).map(|_| scope.spawn(slow)).collect();
        std::thread::sleep(Duration::from_millis(300));
        standin.resume_accept();
        clients.into_iter().map(|client| client.join().expect("a client")).collect()
    });
    let late = heartbeat.end();
    drop(filler);
    lab.wait_closed(WAITING);
    lab.runtime.block_on(standin.stop());
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let mut errors = Errors::default();
    for one in lab.close() {
        if let What::Connected { from_ns, to_ns } = one.what {
            let connect_ns = connects[&one.local];
            assert!(connect_ns > 500_000_000, "the backlog was not full: {connect_ns} ns");
            errors.add((from_ns, to_ns), connect_ns);
        }
    }
    assert_eq!(errors.len(), WAITING);
    assert!(errors.within("connect over a full backlog", 1_000_000, &late));
}
