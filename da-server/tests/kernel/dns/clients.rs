//! Clients of several makes look a host up and ask it: how long that took, and that the connection waited for it.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use da_server::kernel::{Observation, Resolved, Unlisted, What};
use da_testkit::programs::{are_there, skip};

use super::network::{DELAY, HOST, Network, within};
use crate::clients::program::GO_CACHE;
use crate::lab::{Lab, endpoint, hooks};
use da_server::kernel::Hooks;

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/dns/programs");
/// The client of the C library.
pub const PYTHON: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/dns/programs/client.py");
/// What a clock that is read on another CPU, and a hook that comes after what it is about, may be off by.
const SLACK: Duration = Duration::from_millis(2);

/// A client: what it is called, and how it is run.
pub type Client = (&'static str, fn(&Network) -> Command);

/// All of them.
pub const CLIENTS: &[Client] = &[
    ("C library, Python", |network| {
        let mut command = network.command("python3");
        command.arg(PYTHON);
        command
    }),
    ("musl", |network| {
        let program = network.folder().join("client-musl");
        let source = format!("{PROGRAMS}/client.c");
        build(Command::new("musl-gcc").arg("-static").arg("-o").arg(&program).arg(source));
        network.command(program.to_str().expect("text"))
    }),
    ("Node, getaddrinfo", |network| node(network, "getaddrinfo")),
    ("Node, c-ares", |network| node(network, "c-ares")),
    ("Go", |network| {
        let program = network.folder().join("client-go");
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(&program).arg(format!("{PROGRAMS}/client.go"));
        go.env("GO111MODULE", "off").env("GOCACHE", GO_CACHE).env("CGO_ENABLED", "0");
        build(go.env("GOPATH", network.folder().join("go-path")));
        network.command(program.to_str().expect("text"))
    }),
    ("Java", |network| {
        let mut command = network.command("java");
        command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
        command.arg("-Djava.net.preferIPv4Stack=true").arg(format!("{PROGRAMS}/Client.java"));
        command
    }),
];

fn node(network: &Network, by: &str) -> Command {
    let mut command = network.command("node");
    command.arg(format!("{PROGRAMS}/client.mjs")).arg(by);
    command
}

fn build(command: &mut Command) {
    let built = command.output().expect("a compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

#[test]
fn what_resolvers_of_every_make_ask_is_timed_and_told_of_the_connection() {
    if hooks() == Hooks::Older {
        return; // this kernel shows no datagrams
    }
    if !are_there(&["dnsmasq", "python3", "musl-gcc", "node", "go", "java"]) {
        return;
    }
    let Some(mut lab) = Lab::open(&[endpoint("dns", HOST)], Unlisted::Drop) else { return };
    let runs = within(|network| {
        let run = |(name, client): &Client| {
            let mut command = client(network);
            command.args([HOST, &network.server.port().to_string()]);
            let mut child = command.stdout(Stdio::piped()).spawn().expect("it begins");
            let mut said = String::new();
            let output = child.stdout.as_mut().expect("piped");
            output.read_to_string(&mut said).expect("it speaks");
            let pid = child.id();
            assert!(child.wait().expect("it ends").success(), "{name}: {said}");
            let took_ns = said.trim().parse().expect(name);
            (*name, pid, Duration::from_nanos(took_ns))
        };
        CLIENTS.iter().map(run).collect::<Vec<_>>()
    });
    runs.iter().for_each(|(_, pid, _)| lab.follow(*pid));
    lab.wait_closed(runs.len());
    let seen = lab.seen().to_vec();
    for (name, pid, took) in runs {
        let own: Vec<_> = seen.iter().filter(|one| one.pid == pid).collect();
        let resolved = own.iter().find_map(|one| match one.what {
            What::Resolved(resolved) => Some(resolved),
            _ => None,
        });
        let Some(resolved) = resolved else { panic!("{name}: no look-up in {own:#?}") };
        let lasted = Duration::from_nanos(resolved.to_ns - resolved.from_ns);
        println!(
            "{name}: {lasted:?}, of {took:?} in which it says to have looked up and connected"
        );
        assert!(lasted + SLACK >= DELAY && lasted <= took + SLACK, "{name}: {lasted:?}, {took:?}");
        assert_eq!(resolved.resolver, Some(([127, 0, 0, 1], 53).into()), "{name}");
        connected_after(&own, &resolved);
    }
    let told = |outcome: &str| {
        lab.value(&format!(
            "digital_actors_dns_queries_total{{kind=\"llm\",outcome=\"{outcome}\",provider=\"dns\"}}"
        ))
    };
    assert!(told("resolved") >= CLIENTS.len() as f64, "{}", lab.metrics());
    for outcome in ["no_such_name", "server_failure", "refused", "truncated", "failed"] {
        assert_eq!(told(outcome), 0.0, "{outcome}");
    }
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
}

/// The connection began when the look-up was over, and says so once.
fn connected_after(own: &[&Observation], resolved: &Resolved) {
    let mut connects = own.iter().filter_map(|one| match one.what {
        What::Connected { from_ns, .. } => Some(from_ns),
        _ => None,
    });
    assert!(connects.next().is_some_and(|from_ns| from_ns >= resolved.to_ns), "{own:#?}");
    let resolutions = own.iter().filter(|one| matches!(one.what, What::Resolved(_))).count();
    assert_eq!(resolutions, 1, "{own:#?}");
}

#[test]
fn without_the_hooks_for_datagrams_nothing_is_told() {
    if hooks() != Hooks::Older {
        return;
    }
    if !are_there(&["dnsmasq", "python3"]) {
        return skip("a DNS server and a client");
    }
    let Some(mut lab) = Lab::open(&[endpoint("dns", HOST)], Unlisted::Drop) else { return };
    within(|network| {
        let port = network.server.port().to_string();
        let (_, python) = CLIENTS[0];
        let status = python(network).args([HOST, &port]).status().expect("it runs");
        assert!(status.success());
    });
    // Any connection of this test's that is told of comes after it.
    let at = crate::plain::serve("127.0.0.1:0");
    let mut socket = std::net::TcpStream::connect(at).expect("connects");
    crate::plain::exchange(&mut socket, HOST);
    drop(socket);
    lab.wait_closed(1);
    assert!(!lab.metrics().contains("digital_actors_dns_queries_total{"), "{}", lab.metrics());
}
