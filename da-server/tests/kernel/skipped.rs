//! Runs that the kernel skips, because the program is running on that CPU already: a send, an arrival or a
//! close that no program has seen. Here the programs don't find a connection's record for that moment.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use aya::maps::{HashMap, Map, MapData, loaded_maps};
use da_ebpf_common::connection::Connection;
use da_server::kernel::{ExchangeOutcome, KernelConfig, Observation, Unlisted, What};
use da_standin::Options;

use crate::client::{Client, Tls, config};
use crate::lab::{self, Lab, endpoint};
use crate::plain;

/// Insert only, and replace only: include/uapi/linux/bpf.h.
const BPF_NOEXIST: u64 = 1;
const BPF_EXIST: u64 = 2;
pub const NAME: &str = "skipped.kernel.test";
pub const LABELS: &str = "kind=\"llm\",provider=\"skipped\"";
/// Tells the view's map from those of other views on this host.
const MAX_CONNECTIONS: u32 = 4_099;

/// What the programs follow.
pub struct Records(HashMap<MapData, u64, Connection>);

impl Records {
    fn of_this_view() -> Self {
        let maps = loaded_maps().filter_map(Result::ok);
        let mut ours = maps.filter(|map| map.max_entries() == MAX_CONNECTIONS);
        let ours = ours.find(|map| map.name_as_str() == Some("CONNECTIONS")).expect("the map");
        let map = MapData::from_id(ours.id()).expect("the map");
        Self(HashMap::try_from(Map::HashMap(map)).expect("a hash"))
    }

    /// Socket and record of a connection.
    fn find(&self, local: SocketAddr) -> Option<(u64, Connection)> {
        let mut all = self.0.iter().filter_map(Result::ok);
        all.find(|(_, record)| record.peers.local_port == local.port())
    }

    fn follow(&self, local: SocketAddr) -> bool {
        self.find(local).is_some()
    }

    /// Takes back what a record says since the connection is established.
    fn take_back_established(&mut self, local: SocketAddr) {
        let (sock, mut record) = self.find(local).expect("it is followed");
        (record.established_ns, record.first_sequence) = (0, 0);
        (record.peers.local_port, record.peers.local_address) = (0, [0; 16]);
        self.0.insert(sock, record, BPF_EXIST).expect("replaced");
    }

    /// While there is no record, what the connection does goes by unseen.
    pub fn without(&mut self, local: &[SocketAddr], what: impl FnOnce()) {
        let find = |local: &SocketAddr| self.find(*local).expect("it is followed");
        let records: Vec<_> = local.iter().map(find).collect();
        for (sock, _) in &records {
            self.0.remove(sock).expect("removed");
        }
        what();
        for (sock, record) in &records {
            // Not where another connection has come meanwhile.
            let _ = self.0.insert(sock, record, BPF_NOEXIST);
        }
    }
}

pub fn connected(socket: std::io::Result<TcpStream>) -> TcpStream {
    socket.expect("connects")
}

pub fn local(socket: &TcpStream) -> SocketAddr {
    socket.local_addr().expect("an address")
}

/// The kernel view looks at all records every 10 s, and leaves young ones alone.
pub fn until(lab: &Lab, what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}: {:?}", lab.losses());
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn view() -> Option<(Lab, Records)> {
    // An answered exchange is over when its connection is silent for long, which would hide what a close
    // leaves.
    let (max_connections, silence_seconds) = (MAX_CONNECTIONS, 3600);
    let config = KernelConfig { max_connections, silence_seconds, ..lab::config() };
    let lab = Lab::with(&config, &[endpoint("skipped", NAME)], Unlisted::Drop)?;
    Some((lab, Records::of_this_view()))
}

pub fn value(lab: &Lab, series: &str) -> f64 {
    lab.value(&format!("digital_actors_{series}"))
}

pub fn lost(lab: &Lab, reason: &str) -> f64 {
    value(lab, &format!("ebpf_lost_total{{reason=\"{reason}\"}}"))
}

pub fn outcomes(seen: &[Observation]) -> Vec<ExchangeOutcome> {
    let outcome = |one: &Observation| match &one.what {
        What::Exchange(seen) => Some(seen.measured.outcome),
        _ => None,
    };
    seen.iter().filter_map(outcome).collect()
}

/// A connection to a server that answers a request when it is told to.
fn connect() -> (TcpStream, impl Fn()) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let socket = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
    let (peer, _) = listener.accept().expect("a client");
    let (answer, answers) = channel();
    std::thread::spawn(move || {
        let mut peer = peer;
        while answers.recv().is_ok() {
            let mut request = [0; 512];
            let read = peer.read(&mut request).expect("reads");
            assert!(request[..read].ends_with(b"\r\n\r\n"), "one request");
            peer.write_all(plain::RESPONSE).expect("writes");
        }
    });
    (socket, move || answer.send(()).expect("the server waits"))
}

/// Exchanges, of which those that are `unseen` were sent in no hook's sight.
fn exchanges(lab: &mut Lab, records: &mut Records, unseen: &[bool]) {
    let (mut socket, answer) = connect();
    let local = socket.local_addr().expect("an address");
    for unseen in unseen {
        let mut send = || socket.write_all(&plain::request(NAME)).expect("writes");
        if *unseen {
            records.without(&[local], send);
        } else {
            send();
        }
        answer();
        plain::receive(&mut socket);
    }
    drop((socket, answer));
    lab.wait_closed(1);
    let each = [plain::request(NAME).len(), plain::RESPONSE.len()].map(|bytes| bytes as f64);
    for (family, bytes) in ["sent_bytes_total", "received_bytes_total"].into_iter().zip(each) {
        let counted = value(lab, &format!("socket_{family}{{{LABELS}}}"));
        assert_eq!(counted, bytes * unseen.len() as f64, "{family}");
    }
    assert_eq!(lost(lab, "unseen_send"), 1.0);
    let others = lab.losses_but("unseen_send");
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn a_connection_that_nobody_saw_established_is_measured_from_its_first_send_on() {
    const EXCHANGES: u64 = 3;
    let Some((mut lab, mut records)) = view() else { return };
    let standin = lab.standin(Options { names: vec![NAME.to_owned()], ..Options::default() });
    let tls = config(standin.ca_pem(), Tls::V13);
    let mut client = Client::connect(standin.addr(), NAME, Some(&tls));
    // Another one is never used.
    let unused = TcpStream::connect(standin.addr()).expect("connects");
    records.take_back_established(client.local);
    records.take_back_established(local(&unused));
    client.handshake().expect("a handshake");
    for number in 1..=EXCHANGES {
        let response = client.exchange(NAME, "{}", number == EXCHANGES);
        assert!(response.starts_with(b"HTTP/1.1 200"));
    }
    let at = client.local;
    client.close();
    drop(unused);
    lab.wait_closed(2);
    lab.runtime.block_on(standin.stop());
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let count = |family: &str| value(&lab, &format!("socket_{family}_seconds_count{{{LABELS}}}"));
    assert_eq!((count("connect"), count("lifetime")), (0.0, 0.0), "nobody knows");
    assert_eq!(count("tls_handshake"), 1.0);
    assert!(count("pickup") >= EXCHANGES as f64, "{}", count("pickup"));
    let outcome = |outcome| {
        value(
            &lab,
            &format!(
                "socket_connections_total{{kind=\"llm\",outcome=\"{outcome}\",provider=\"skipped\"}}"
            ),
        )
    };
    let outcomes = ["ok", "unused", "cancelled"].map(outcome);
    assert_eq!(outcomes, [1.0, 1.0, 0.0], "the other one was established as well");
    let mut numbers = Vec::new();
    for one in lab.close() {
        if let What::Exchange(seen) = one.what {
            assert_eq!(one.local, at);
            numbers.push(seen.number);
        }
    }
    assert_eq!(numbers, Vec::from_iter(1..=EXCHANGES));
}

#[test]
fn a_send_in_the_middle_makes_what_follows_ambiguous() {
    let Some((mut lab, mut records)) = view() else { return };
    exchanges(&mut lab, &mut records, &[false, false, true, false, false]);
    let timed = value(&lab, &format!("socket_first_byte_seconds_count{{{LABELS}}}"));
    let outcomes = outcomes(&lab.close());
    println!("{outcomes:?}, {timed} of them timed");
    // The first two were told apart; the third is in no sight, and whose the rest is, nobody knows.
    let (ok, ambiguous) = (ExchangeOutcome::Ok, ExchangeOutcome::Ambiguous);
    assert_eq!(outcomes, [ok, ok, ambiguous, ambiguous]);
    assert_eq!(timed, 2.0);
}

#[test]
fn a_send_at_the_end_is_told() {
    let Some((mut lab, mut records)) = view() else { return };
    exchanges(&mut lab, &mut records, &[false, false, true]);
    assert_eq!(outcomes(&lab.close()), [ExchangeOutcome::Ok; 2]);
}

#[test]
fn the_rest_of_a_request_at_the_end_makes_it_ambiguous() {
    let Some((mut lab, mut records)) = view() else { return };
    let (mut socket, answer) = connect();
    let local = socket.local_addr().expect("an address");
    let request = plain::request(NAME);
    let (first, rest) = request.split_at(request.len() - 2);
    socket.write_all(first).expect("writes");
    records.without(&[local], || socket.write_all(rest).expect("writes"));
    answer();
    plain::receive(&mut socket);
    drop((socket, answer));
    lab.wait_closed(1);
    assert_eq!(lost(&lab, "unseen_send"), 1.0);
    // Not one that nobody has answered.
    assert_eq!(outcomes(&lab.close()), [ExchangeOutcome::Ambiguous]);
}

#[test]
fn an_answer_whose_arrival_is_in_no_sight_is_doubtful_and_has_no_time() {
    let Some((mut lab, mut records)) = view() else { return };
    let (mut socket, answer) = connect();
    let local = socket.local_addr().expect("an address");
    for unseen in [false, true, false] {
        socket.write_all(&plain::request(NAME)).expect("writes");
        let arrive = || {
            answer();
            socket.peek(&mut [0]).expect("something comes");
        };
        if unseen {
            records.without(&[local], arrive);
        } else {
            arrive();
        }
        plain::receive(&mut socket);
    }
    drop((socket, answer));
    lab.wait_closed(1);
    let timed = value(&lab, &format!("socket_first_byte_seconds_count{{{LABELS}}}"));
    let received = value(&lab, &format!("socket_received_bytes_total{{{LABELS}}}"));
    let (ok, doubtful) = (ExchangeOutcome::Ok, ExchangeOutcome::Doubtful);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    assert_eq!(outcomes(&lab.close()), [ok, doubtful, ok]);
    assert_eq!((timed, received), (2.0, 3.0 * plain::RESPONSE.len() as f64));
}

#[test]
fn what_a_close_leaves_is_found_and_removed() {
    const EACH: usize = 8;
    let Some((mut lab, mut records)) = view() else { return };
    let open = format!("socket_open_connections{{{LABELS}}}");
    let at = plain::serve("127.0.0.1:0");
    let mut talking: Vec<_> = (0..=EACH).map(|_| TcpStream::connect(at)).map(connected).collect();
    for socket in &mut talking {
        plain::exchange(socket, NAME);
    }
    // They never send anything: it is not known whose they are.
    let silent: Vec<_> = (0..EACH).map(|_| TcpStream::connect(at)).map(connected).collect();
    let living = talking.pop().expect("one more");
    until(&lab, "all that have talked are known", || value(&lab, &open) == (EACH + 1) as f64);
    let closing: Vec<_> = talking.iter().chain(&silent).map(local).collect();
    records.without(&closing, || {
        // They stay with their descriptors, or others of this host might have them next.
        for socket in talking.iter().chain(&silent) {
            socket.shutdown(Shutdown::Both).expect("shut down");
        }
        // The server answers with its own end.
        std::thread::sleep(Duration::from_millis(200));
    });
    until(&lab, "all are found", || lost(&lab, "unseen_close") >= closing.len() as f64);
    assert_eq!(value(&lab, &open), 1.0);
    assert!(!closing.iter().any(|local| records.follow(*local)), "the records are gone");
    assert!(records.follow(local(&living)), "it is open");
    drop((talking, silent, living));
    lab.wait_closed(1);
    assert_eq!(value(&lab, &open), 0.0);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let bytes = value(&lab, &format!("socket_sent_bytes_total{{{LABELS}}}"));
    assert_eq!(bytes, ((EACH + 1) * plain::request(NAME).len()) as f64);
    let outcomes = outcomes(&lab.close());
    println!("{} unseen closes: {outcomes:?}", closing.len());
    // How the others ended is not known.
    let (last, unseen) = outcomes.split_last().expect("all of them");
    assert_eq!((*last, unseen.len()), (ExchangeOutcome::Ok, EACH));
    assert!(unseen.iter().all(|one| *one == ExchangeOutcome::Ambiguous));
}
