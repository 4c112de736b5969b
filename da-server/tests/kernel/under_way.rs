//! Requests that have not ended: each way to hang is seen while it lasts, by its state, and is gone afterwards.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use da_server::kernel::{RequestState, UnderWay, Unlisted};
use da_standin::{Options, TlsMode};
use da_testkit::browser::Browser;
use da_testkit::server::ServerProgram;
use serde_json::json;

use crate::client::{Client, Tls, config, request};
use crate::lab::{Lab, cant_load, endpoint, endpoint_at};
use crate::plain;
use crate::turns::beside;
use da_testkit::programs::skip;

const NAME: &str = "under-way.kernel.test";
/// A look is made every second, and one may be under way.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nobody answers a connect: several looks, on a busy machine too.
const UNHEARD: Duration = Duration::from_secs(8);

/// What this process has under way, once `fits` finds one of them.
fn find(lab: &Lab, what: &str, fits: impl Fn(&UnderWay) -> bool) -> UnderWay {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let snapshot = lab.under_way.get();
        let own = |one: &&UnderWay| one.pid == std::process::id() && fits(one);
        if let Some(found) = snapshot.requests.iter().find(own) {
            return found.clone();
        }
        assert!(Instant::now() < deadline, "{what}: {snapshot:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wait_until_none(lab: &Lab) {
    let deadline = Instant::now() + PATIENCE;
    while lab.under_way.get().requests.iter().any(|one| one.pid == std::process::id()) {
        assert!(Instant::now() < deadline, "{:?}", lab.under_way.get());
        std::thread::sleep(Duration::from_millis(20));
    }
    for state in RequestState::ALL {
        assert_eq!(in_flight(lab, state), 0.0, "{}", state.as_str());
    }
}

fn in_flight(lab: &Lab, state: RequestState) -> f64 {
    let labels = format!("kind=\"llm\",provider=\"under_way\",state=\"{}\"", state.as_str());
    lab.value(&format!("digital_actors_socket_requests_in_flight{{{labels}}}"))
}

#[test]
fn a_request_without_an_answer_waits_and_one_that_pauses_is_quiet() {
    let Some(lab) = Lab::open(&[endpoint("under_way", NAME)], Unlisted::Drop) else { return };
    let standin = lab.standin(Options {
        names: vec![NAME.to_owned()],
        tls: TlsMode::V13,
        ..Options::default()
    });
    let config = config(standin.ca_pem(), Tls::V13);
    let mut client = Client::connect(standin.addr(), NAME, Some(&config));
    client.handshake().expect("a handshake");
    client.exchange(NAME, r#"{"first_byte_ms":0}"#, false);
    client.send(&request(NAME, r#"{"first_byte_ms":8000}"#, false));
    let waiting = find(&lab, "waiting", |one| one.state == RequestState::Waiting);
    assert_eq!((waiting.provider.as_str(), waiting.exchange), ("under_way", 2));
    assert_eq!(waiting.remote, standin.addr());
    assert!(waiting.request_bytes > 0 && waiting.age_ns >= waiting.in_state_ns, "{waiting:?}");
    let older = find(&lab, "older", |one| one.age_ns > waiting.age_ns);
    assert_eq!((older.state, in_flight(&lab, RequestState::Waiting)), (RequestState::Waiting, 1.0));
    assert!(client.receive().starts_with(b"HTTP/1.1 200"));
    // Nobody can tell that this was all.
    let quiet = find(&lab, "quiet", |one| one.state == RequestState::Quiet);
    assert!(quiet.response_bytes > 0 && quiet.silent_ns >= Some(1_000_000_000), "{quiet:?}");
    client.close();
    wait_until_none(&lab);
    lab.runtime.block_on(standin.stop());
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
}

#[test]
fn what_a_process_does_not_read_is_unread_and_a_stream_responds() {
    let Some(lab) = Lab::open(&[endpoint("under_way", NAME)], Unlisted::Drop) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        let mut heard = [0; 1_024];
        assert!(socket.read(&mut heard).expect("a request") > 0);
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("writes");
        // Until the client has gone.
        while socket.write_all(&[b'x'; 100]).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let mut socket = TcpStream::connect(at).expect("connects");
    socket.write_all(&plain::request(NAME)).expect("writes");
    let unread = find(&lab, "unread", |one| one.unread_bytes > 0);
    assert_eq!(unread.state, RequestState::Responding);
    assert!(unread.unread_bytes <= unread.response_bytes, "{unread:?}");
    find(&lab, "more", |one| one.unread_bytes > unread.unread_bytes);
    drop(socket);
    server.join().expect("the server");
    wait_until_none(&lab);
}

#[test]
fn who_has_closed_a_connection_without_an_answer_is_told() {
    let Some(lab) = Lab::open(&[endpoint("under_way", NAME)], Unlisted::Drop) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let asked = || {
        let mut client = TcpStream::connect(at).expect("connects");
        let (mut server, _) = listener.accept().expect("a client");
        client.write_all(&plain::request(NAME)).expect("writes");
        assert!(server.read(&mut [0; 1_024]).expect("a request") > 0);
        (client, server)
    };
    let (client, server) = asked();
    find(&lab, "waiting", |one| one.state == RequestState::Waiting);
    drop(server);
    let closed = find(&lab, "closed by the peer", |one| one.state == RequestState::PeerClosed);
    assert!(closed.in_state_ns <= closed.age_ns, "{closed:?}");
    assert_eq!(in_flight(&lab, RequestState::PeerClosed), 1.0);
    drop(client);
    wait_until_none(&lab);

    // As one that has given up looks until the other side has acknowledged that.
    let (client, server) = asked();
    client.shutdown(Shutdown::Write).expect("closes its half");
    find(&lab, "given up", |one| one.state == RequestState::Closing);
    drop((client, server));
    wait_until_none(&lab);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
}

#[test]
fn a_handshake_that_nobody_answers_is_one() {
    let Some(lab) = Lab::open(&[endpoint("under_way", NAME)], Unlisted::Drop) else { return };
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let standin = lab.standin(Options::default());
    let config = config(standin.ca_pem(), Tls::V13);
    let at = silent.local_addr().expect("an address");
    let mut client = Client::connect(at, NAME, Some(&config));
    client.say_hello();
    let handshake = find(&lab, "handshake", |one| one.state == RequestState::Handshake);
    assert_eq!((handshake.exchange, handshake.request_bytes), (0, 0));
    client.close();
    wait_until_none(&lab);
    lab.runtime.block_on(standin.stop());
}

/// The kernel drops the SYN of a connection for which the listener has no room.
#[test]
fn a_connect_that_nobody_answers_is_one() {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
    let full = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&full, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("bound");
    listen(&full, 0).expect("listens");
    let at: SocketAddr = getsockname(&full).expect("a name").try_into().expect("an address");
    let Some(lab) = Lab::open(&[endpoint_at("under_way", NAME, at)], Unlisted::Drop) else {
        return;
    };
    let fills = TcpStream::connect(at).expect("there is room for one");
    let waits = std::thread::spawn(move || TcpStream::connect_timeout(&at, UNHEARD).is_err());
    let connecting = find(&lab, "connecting", |one| one.state == RequestState::Connecting);
    assert_eq!((connecting.remote, connecting.exchange), (at, 0));
    assert!(waits.join().expect("no panic"), "nobody answers");
    drop(fills);
    wait_until_none(&lab);
}

/// As an operator sees it, who has a collector and no game.
#[tokio::test]
async fn a_request_that_hangs_is_on_top_of_the_collectors_page() {
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let _turn = beside([NAME]);
    for (width, height) in [(1280, 900), (360, 780)] {
        let Some(browser) = Browser::open(width, height).await else { return };
        let config =
            format!("[[endpoint]]\nname = 'under_way'\nkind = 'llm'\nhosts = ['{NAME}']\n");
        let collector = ServerProgram::start(&["collect"], &config, |_| {});
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = silent.local_addr().expect("an address");
        // One that is over, and one that nobody answers.
        let mut over = TcpStream::connect(plain::serve("127.0.0.1:0")).expect("connects");
        plain::exchange(&mut over, NAME);
        let mut hanging = TcpStream::connect(at).expect("connects");
        hanging.write_all(&plain::request(NAME)).expect("writes");
        // Other tests of this host ask other providers.
        let page = format!("http://{}/calls?provider=under_way", collector.listens(1)[0]);
        browser.client.goto(&page).await.expect("the page");
        let top = "(document.querySelector('#under-way li')?.textContent ?? '')";
        let (pid, waiting) = (std::process::id(), "waiting for the first byte");
        browser.until(&format!("{top}.includes(' {pid}') && {top}.includes('{waiting}')")).await;
        let overflow =
            "document.documentElement.scrollWidth > document.documentElement.clientWidth";
        assert_eq!(browser.evaluate(overflow).await, json!(false), "nothing sticks out");
        browser.screenshot(&format!("under-way-{width}")).await;
        let (status, json) = collector.get("/api/calls/under_way");
        assert_eq!(status, 200, "{json}");
        drop(hanging);
        drop(over);
        // Both are calls now, and the one without an answer has failed.
        let ended =
            "[...document.querySelectorAll('#latest .outcome')].map((it) => it.textContent)";
        browser.until(&format!("{ended}.sort().join() === 'no response,ok'")).await;
        browser.until("document.querySelectorAll('#under-way li').length === 0").await;
        browser.close().await;
    }
}
