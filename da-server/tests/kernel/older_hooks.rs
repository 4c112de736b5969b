//! What the hooks of kernels before 6.3 don't see. `cargo xtask test` runs many tests of the newer ones
//! with them again.

use std::io::{Read, Seek, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use da_server::kernel::{ExchangeOutcome, Hooks, Unlisted, What};

use crate::lab::{Lab, endpoint, hooks};
use crate::plain;

#[test]
fn what_is_sent_out_of_sight_is_told() {
    let name = "sendfile.kernel.test";
    let Some(mut lab) = Lab::open(&[endpoint("sendfile", name)], Unlisted::Drop) else { return };
    let mut socket = TcpStream::connect(plain::serve("127.0.0.1:0")).expect("connects");
    let request = format!("GET / HTTP/1.1\r\nhost: {name}\r\n\r\n");
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(request.as_bytes()).expect("written");
    let mut response = vec![0; plain::RESPONSE.len()];
    for by_sendfile in [false, true, false] {
        if by_sendfile {
            file.rewind().expect("at its beginning");
            let (to, from) = (socket.as_raw_fd(), file.as_raw_fd());
            // SAFETY: both descriptors are open, and no offset is handed over.
            let sent = unsafe { libc::sendfile(to, from, std::ptr::null_mut(), request.len()) };
            assert_eq!(usize::try_from(sent), Ok(request.len()));
        } else {
            socket.write_all(request.as_bytes()).expect("writes");
        }
        socket.read_exact(&mut response).expect("reads");
    }
    drop(socket);
    lab.wait_closed(1);
    let value = |family: &str| {
        lab.value(&format!("digital_actors_socket_{family}{{kind=\"llm\",provider=\"sendfile\"}}"))
    };
    assert_eq!(value("sent_bytes_total"), 3.0 * request.len() as f64);
    assert_eq!(value("received_bytes_total"), 3.0 * plain::RESPONSE.len() as f64);
    let outcome = |what| match what {
        What::Exchange(seen) => Some(seen.measured.outcome),
        _ => None,
    };
    let outcomes: Vec<_> = lab.close().into_iter().filter_map(|one| outcome(one.what)).collect();
    if hooks() == Hooks::Older {
        // Neither is timed: the answer to the one in between might be taken for theirs.
        assert_eq!(outcomes, [ExchangeOutcome::Ambiguous; 2]);
    } else {
        assert_eq!(outcomes, [ExchangeOutcome::Ok; 3]);
    }
}
