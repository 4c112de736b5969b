//! Memory of a watched connection whose close no program has seen, taken by an accepted one.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use da_server::kernel::ExchangeOutcome;

use crate::plain;
use crate::skipped::{LABELS, NAME, connected, local, lost, outcomes, until, value, view};
use crate::turns::alone;

#[test]
fn what_a_close_leaves_is_no_record_of_an_accepted_connection() {
    const CONNECTIONS: usize = 64;
    // Where others of this host are taken instead, nothing is found until they end.
    let _alone = alone();
    let Some((lab, mut records)) = view() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let at = plain::serve("127.0.0.1:0");
    let mut closing: Vec<_> =
        (0..CONNECTIONS).map(|_| TcpStream::connect(at)).map(connected).collect();
    for socket in &mut closing {
        plain::exchange(socket, NAME);
    }
    let locals: Vec<_> = closing.iter().map(local).collect();
    let open = format!("socket_open_connections{{{LABELS}}}");
    until(&lab, "all are known", || value(&lab, &open) == CONNECTIONS as f64);
    records.without(&locals, || {
        drop(closing);
        std::thread::sleep(Duration::from_millis(100));
    });
    // The kernel keeps sockets of IPv6 elsewhere, so it is the accepted ones that come where those
    // were; they talk as well.
    let mut accepted = Vec::new();
    for _ in 0..4 * CONNECTIONS {
        let client = connected(TcpStream::connect(("::ffff:127.0.0.1", port)));
        let (mut server, _) = listener.accept().expect("a client");
        server.write_all(&plain::request("else.kernel.test")).expect("writes");
        accepted.push((client, server));
    }
    let reused = lost(&lab, "unseen_close");
    println!("{reused} of {CONNECTIONS} sockets were taken at once");
    assert!(reused > 0.0, "none was");
    drop(accepted);
    until(&lab, "the rest is found", || value(&lab, &open) == 0.0);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let bytes = value(&lab, &format!("socket_sent_bytes_total{{{LABELS}}}"));
    assert!(bytes <= (CONNECTIONS * plain::request(NAME).len()) as f64, "{bytes}: others' bytes");
    assert!(outcomes(&lab.close()).iter().all(|one| *one == ExchangeOutcome::Ambiguous));
}
