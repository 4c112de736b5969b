//! Whose socket it is: the process that connected, whichever of its threads did.

use std::net::{TcpListener, TcpStream};

use da_server::kernel::Unlisted;

use crate::lab::{Lab, endpoint_at};

const NAME: &str = "ownership.kernel.test";

/// The first thread's name of this process.
fn own_name() -> String {
    let name = std::fs::read_to_string("/proc/self/comm").expect("a name");
    name.trim_end().to_owned()
}

#[test]
fn a_worker_threads_name_is_not_the_processs() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let watched = endpoint_at("ownership", NAME, address);
    let Some(mut lab) = Lab::open(&[watched], Unlisted::Drop) else { return };
    let worker = std::thread::Builder::new().name("not-the-process".to_owned());
    let connect = move || drop(TcpStream::connect(address).expect("connects"));
    worker.spawn(connect).expect("a thread").join().expect("ends");
    lab.wait_closed(1);
    let names: Vec<_> = lab.close().into_iter().map(|one| one.process).collect();
    assert!(!names.is_empty());
    assert!(names.iter().all(|name| *name == own_name()), "{names:?} of {}", own_name());
}
