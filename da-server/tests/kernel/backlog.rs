//! Connects that wait because the server accepts nobody.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use da_server::kernel::{Unlisted, What};
use da_standin::{Options, now_ns};
use procfs::net::{TcpState, tcp};

use crate::brackets::Brackets;
use crate::client::{Client, Span, Tls, config};
use crate::lab::{Lab, endpoint};

const NAME: &str = "backlog.kernel.test";
const WAITING: usize = 3;

/// Waits until so many connects to an address have been sent and not been answered.
fn wait_for_unanswered(to: SocketAddr) {
    let unanswered = || {
        let sockets = tcp().expect("/proc/net/tcp").into_iter();
        sockets.filter(|one| one.remote_address == to && one.state == TcpState::SynSent).count()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while unanswered() < WAITING {
        assert!(Instant::now() < deadline, "{} of {WAITING} connects wait", unanswered());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn connects_that_wait_for_a_full_backlog() {
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
        let connect = (client.local, client.connect);
        assert!(client.exchange(NAME, r#"{"first_byte_ms":5}"#, true).starts_with(b"HTTP"));
        client.close();
        connect
    };
    let (connects, resumed_ns) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..WAITING).map(|_| scope.spawn(slow)).collect();
        wait_for_unanswered(to);
        let resumed_ns = now_ns();
        standin.resume_accept();
        let connects = clients.into_iter().map(|client| client.join().expect("a client"));
        (connects.collect::<HashMap<SocketAddr, Span>>(), resumed_ns)
    });
    drop(filler);
    lab.wait_closed(WAITING);
    lab.runtime.block_on(standin.stop());
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let [mut beginnings, mut ends] = [(); 2].map(|()| Brackets::default());
    for one in lab.close() {
        if let What::Connected { from_ns, to_ns } = one.what {
            let Span { from_ns: called_ns, to_ns: returned_ns } = connects[&one.local];
            beginnings.add(called_ns, from_ns, resumed_ns);
            ends.add(resumed_ns, to_ns, returned_ns);
        }
    }
    assert_eq!((beginnings.len(), ends.len()), (WAITING, WAITING));
}
