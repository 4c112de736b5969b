//! Whose socket it is: the process that connected, whoever talks on it, and wherever.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use da_server::kernel::{ExchangeOutcome, Observation, Unlisted, What};
use rustix::io::dup2;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::lab::{self, Lab, endpoint, endpoint_at};
use crate::plain::{self, RESPONSE};
use da_testkit::programs::skip;

const NAME: &str = "ownership.kernel.test";

/// Outcomes of the exchanges with an endpoint, and how many of its connections have closed.
fn outcomes(seen: &[Observation], endpoint: &str) -> (Vec<ExchangeOutcome>, usize) {
    let seen = seen.iter().filter(|one| one.endpoint == endpoint);
    let closed = seen.clone().filter(|one| matches!(one.what, What::Closed { .. })).count();
    let outcome = |one: &Observation| match &one.what {
        What::Exchange(seen) => Some(seen.measured.outcome),
        _ => None,
    };
    (seen.filter_map(outcome).collect(), closed)
}

/// A line of bash that talks over descriptor `fd`, once.
fn talk(fd: u32) -> String {
    let length = RESPONSE.len();
    format!(
        "printf 'GET / HTTP/1.1\\r\\nhost: {NAME}\\r\\n\\r\\n' >&{fd}; head -c {length} <&{fd} >/dev/null\n"
    )
}

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

#[test]
fn a_duplicate_goes_on_when_the_original_is_closed() {
    let address = plain::serve("127.0.0.1:0");
    let Some(mut lab) = Lab::open(&[endpoint("ownership", NAME)], Unlisted::Drop) else { return };
    let mut original = TcpStream::connect(address).expect("connects");
    plain::exchange(&mut original, NAME);
    let mut duplicate = original.try_clone().expect("a duplicate");
    plain::exchange(&mut duplicate, NAME);
    plain::exchange(&mut original, NAME);
    drop(original);
    for _ in 0..4 {
        plain::exchange(&mut duplicate, NAME);
    }
    drop(duplicate);
    lab.wait_closed(1);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    assert_eq!(outcomes(&lab.close(), "ownership"), (vec![ExchangeOutcome::Ok; 7], 1));
}

#[test]
fn a_child_goes_on_with_what_it_inherited() {
    let address = plain::serve("127.0.0.1:0");
    let Some(mut lab) = Lab::open(&[endpoint("ownership", NAME)], Unlisted::Drop) else { return };
    let mut socket = TcpStream::connect(address).expect("connects");
    plain::exchange(&mut socket, NAME);
    let mut child = Command::new("bash")
        .args(["-c", &format!("read go; {}", talk(1).repeat(3).replace("<&1", "<&2"))])
        .stdin(Stdio::piped())
        .stdout(OwnedFd::from(socket.try_clone().expect("a duplicate")))
        .stderr(OwnedFd::from(socket.try_clone().expect("a duplicate")))
        .spawn()
        .expect("starts");
    // From here on the child alone has it.
    drop(socket);
    child.stdin.take().expect("piped").write_all(b"go\n").expect("writes");
    assert!(child.wait().expect("ends").success());
    lab.wait_closed(1);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let seen = lab.close();
    assert_eq!(outcomes(&seen, "ownership"), (vec![ExchangeOutcome::Ok; 4], 1));
    assert!(seen.iter().all(|one| one.process == own_name()), "who connected, not who talks");
}

/// Sends a socket over another one and closes it here.
fn pass(over: &UnixStream, socket: TcpStream) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [std::os::fd::AsFd::as_fd(&socket)];
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(over, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).expect("passed on");
}

/// Takes a socket that was sent over another one.
fn accept(over: &UnixStream) -> TcpStream {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 1];
    recvmsg(over, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::empty())
        .expect("received");
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.expect("a socket").into()
}

#[test]
fn a_socket_that_is_passed_on() {
    let address = plain::serve("127.0.0.1:0");
    let Some(mut lab) = Lab::open(&[endpoint("ownership", NAME)], Unlisted::Drop) else { return };
    let mut socket = TcpStream::connect(address).expect("connects");
    plain::exchange(&mut socket, NAME);
    let (here, there) = UnixStream::pair().expect("a pair");
    pass(&here, socket);
    // On its way nobody has it open.
    std::thread::sleep(Duration::from_millis(100));
    let mut passed = accept(&there);
    for _ in 0..3 {
        plain::exchange(&mut passed, NAME);
    }
    drop(passed);
    lab.wait_closed(1);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    assert_eq!(outcomes(&lab.close(), "ownership"), (vec![ExchangeOutcome::Ok; 4], 1));
}

#[test]
fn a_descriptor_that_is_used_again() {
    let (one, other) = (plain::serve("127.0.0.1:0"), plain::serve("127.0.0.1:0"));
    let watched = [endpoint("ownership", NAME), endpoint("other-one", "other.kernel.test")];
    let Some(mut lab) = Lab::open(&watched, Unlisted::Drop) else { return };
    let mut socket = TcpStream::connect(one).expect("connects");
    for _ in 0..3 {
        plain::exchange(&mut socket, NAME);
    }
    let next = TcpStream::connect(other).expect("connects");
    let mut number = OwnedFd::from(socket);
    // Closes what the number meant until now.
    dup2(&next, &mut number).expect("takes its place");
    drop(next);
    let mut socket = TcpStream::from(number);
    for _ in 0..5 {
        plain::exchange(&mut socket, "other.kernel.test");
    }
    drop(socket);
    lab.wait_closed(2);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let seen = lab.close();
    assert_eq!(outcomes(&seen, "ownership"), (vec![ExchangeOutcome::Ok; 3], 1));
    assert_eq!(outcomes(&seen, "other-one"), (vec![ExchangeOutcome::Ok; 5], 1));
}

#[test]
fn a_process_that_dies_in_the_middle_of_a_response() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        // bash sends line by line.
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0; 1];
            socket.read_exact(&mut byte).expect("reads");
            request.extend(byte);
        }
        // Until nobody is there to take it.
        while socket.write_all(b"more and more, all of it too late, ").is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let watched = endpoint_at("ownership", NAME, address);
    let Some(mut lab) = Lab::open(&[watched], Unlisted::Drop) else { return };
    // Its buffered half a second of response is what it never reads.
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{}; printf 'GET / HTTP/1.1\\r\\nhost: {NAME}\\r\\n\\r\\n' >&3
        read -r -n 1 <&3; sleep 0.5; kill -9 $$",
        address.port()
    );
    let mut child = Command::new("bash").args(["-c", &script]).spawn().expect("starts");
    let process_id = child.id();
    lab.follow(process_id);
    assert!(!child.wait().expect("ends").success());
    lab.wait_closed(1);
    server.join().expect("the server");
    let open = "digital_actors_socket_open_connections{kind=\"llm\",provider=\"ownership\"}";
    assert_eq!(lab.value(open), 0.0);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let seen = lab.close();
    assert_eq!(outcomes(&seen, "ownership"), (vec![ExchangeOutcome::Aborted], 1));
    assert!(seen.iter().all(|one| one.pid == process_id && one.process == "bash"));
}

/// A network namespace, joined to this one by a pair of links; removed when dropped.
struct Namespace {
    name: String,
    /// This side's address.
    host: String,
}

impl Namespace {
    fn make() -> Option<Self> {
        let id = std::process::id();
        let [.., high, low] = id.to_be_bytes();
        let (name, ours, theirs) = (format!("da-{id}"), format!("dak{id}"), format!("dan{id}"));
        let net = format!("10.{high}.{low}");
        let namespace = Self { name, host: format!("{net}.1") };
        let name = &namespace.name;
        for line in [
            format!("netns add {name}"),
            format!("link add {ours} type veth peer name {theirs} netns {name}"),
            format!("addr add {net}.1/30 dev {ours}"),
            format!("link set {ours} up"),
            format!("-n {name} addr add {net}.2/30 dev {theirs}"),
            format!("-n {name} link set {theirs} up"),
        ] {
            let made = Command::new("ip").args(line.split(' ')).output();
            let made = made.map_err(|error| error.to_string()).and_then(|output| {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                if output.status.success() { Ok(()) } else { Err(said) }
            });
            if let Err(why) = made {
                skip(&format!("ip {line}: {why}"));
                return None;
            }
        }
        Some(namespace)
    }

    /// A bash within it.
    fn bash(&self) -> Bash {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "bash"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let input = child.stdin.take().expect("piped");
        let output = child.stdout.take().expect("piped");
        Bash { child, input, output }
    }
}

/// Does as it is told; ended when dropped.
struct Bash {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Bash {
    /// Waits until it has done it.
    fn run(&mut self, script: &str) {
        self.input.write_all(format!("{script}\necho done\n").as_bytes()).expect("writes");
        let mut done = [0; 5];
        self.output.read_exact(&mut done).expect("answers");
        assert_eq!(&done, b"done\n");
    }
}

impl Drop for Bash {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its links go with it. There may be none: then there is nothing to remove.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

#[test]
fn a_client_in_another_network_namespace() {
    let Some(namespace) = Namespace::make() else { return };
    let address: SocketAddr = plain::serve(&format!("{}:0", namespace.host));
    let mut bash = namespace.bash();
    let open = |fd| format!("exec {fd}<>/dev/tcp/{}/{}\n", namespace.host, address.port());
    let begin = || bash.run(&(open(3) + &talk(3).repeat(2)));
    let watched = endpoint_at("ownership", NAME, address);
    let opened = Lab::after(begin, &lab::config(), &[watched], Unlisted::Drop);
    let Some((mut lab, ())) = opened else { return };
    lab.follow(bash.child.id());
    bash.run(&(talk(3).repeat(3) + &open(4) + &talk(4).repeat(4)));
    bash.run("exec 3>&- 4>&-");
    lab.wait_closed(2);
    let connections = "digital_actors_socket_connections_total{kind=\"llm\",outcome=\"ok\",provider=\"ownership\"}";
    assert_eq!(lab.value(connections), 1.0, "the older one was not opened in view");
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let seen = lab.close();
    assert_eq!(outcomes(&seen, "ownership"), (vec![ExchangeOutcome::Ok; 3 + 4], 2));
    assert!(seen.iter().all(|one| one.remote == address && one.process == "bash"));
}
