//! Look-ups that fail, and connects that fail after one.

use std::time::{Duration, Instant};

use da_server::kernel::{Hooks, Unlisted, What};
use da_testkit::programs::are_there;
use da_testkit::server::ServerProgram;
use serde_json::Value;

use super::network::{DELAY, GONE, HOST, REFUSED, SILENT, within};
use crate::lab::{Lab, cant_load, endpoint, hooks};
use crate::turns::beside;
use da_testkit::programs::skip;

/// However busy the reader is. A query counts as unanswered after 10 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks a host up, and connects to it if it has an address; whatever comes of it.
const LOOKS_UP: &str = "
import socket, sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])))
except OSError as error: print(error)
";

fn value(lab: &Lab, family: &str, outcome: &str, provider: &str) -> f64 {
    lab.value(&format!(
        "digital_actors_{family}{{kind=\"llm\",outcome=\"{outcome}\",provider=\"{provider}\"}}"
    ))
}

#[test]
fn what_becomes_of_a_query_is_counted_and_names_a_connect_that_fails() {
    if hooks() == Hooks::Older {
        return; // this kernel shows no datagrams
    }
    if !are_there(&["dnsmasq", "python3"]) {
        return;
    }
    let hosts = [("dns", HOST), ("gone", GONE), ("refused", REFUSED), ("silent", SILENT)];
    let endpoints = hosts.map(|(name, host)| endpoint(name, host));
    let Some(lab) = Lab::open(&endpoints, Unlisted::Drop) else { return };
    within(|network| {
        let look_up = |mut command: std::process::Command, host: &str| {
            // Nobody listens there.
            let status = command.args(["-c", LOOKS_UP, host, "9"]).status().expect("it runs");
            assert!(status.success(), "{host}");
        };
        look_up(network.searching_command("python3"), HOST);
        // The dot at the end keeps the C library from searching the domain that this host's name has.
        for host in [GONE, REFUSED, SILENT] {
            look_up(network.command("python3"), &format!("{host}."));
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let count = |provider: &str, outcome: &str| value(&lab, "dns_queries_total", outcome, provider);
    while count("silent", "unanswered") < 1.0 {
        assert!(Instant::now() < deadline, "{}", lab.metrics());
        std::thread::sleep(Duration::from_millis(50));
    }
    // Once for each kind of address, in the domain that is searched first and then as it is.
    assert_eq!(count("dns", "no_such_name"), 2.0, "{}", lab.metrics());
    assert_eq!((count("dns", "resolved"), count("dns", "no_address")), (1.0, 1.0));
    assert_eq!(count("gone", "no_such_name"), 2.0);
    assert_eq!(count("silent", "unanswered"), 2.0);
    // Once for each kind of address; the C library may ask again.
    assert!(count("refused", "refused") >= 2.0, "{}", lab.metrics());
    let timed = |provider: &str| {
        lab.value(&format!(
            "digital_actors_dns_seconds_count{{kind=\"llm\",provider=\"{provider}\"}}"
        ))
    };
    assert_eq!(
        [timed("dns"), timed("gone"), timed("refused"), timed("silent")],
        [2.0, 0.0, 0.0, 0.0]
    );
    // No connection has shown this name, and no configuration tells its address.
    assert_eq!(value(&lab, "socket_connections_total", "refused", "dns"), 1.0);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
}

#[test]
fn a_call_of_another_process_begins_with_its_look_up() {
    if hooks() == Hooks::Older {
        return; // this kernel shows no datagrams
    }
    if !are_there(&["dnsmasq", "curl"]) {
        return;
    }
    let _turn = beside([HOST]);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let toml = format!("[[endpoint]]\nname = 'dns'\nkind = 'llm'\nhosts = ['{HOST}']\n");
    let collector = ServerProgram::start(&["collect"], &toml, |_| {});
    within(|network| {
        let url = format!("http://{HOST}:{}/", network.server.port());
        let mut curl = network.searching_command("curl");
        let status = curl.args(["--silent", "--noproxy", "*", &url]).status().expect("it runs");
        assert!(status.success());
    });
    let calls = || -> Vec<Value> {
        let (_, body) = collector.get("/api/calls?provider=dns");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        body["calls"].as_array().expect("calls").clone()
    };
    collector.wait_for("the call", || calls().len() == 1);
    let call = &calls()[0];
    let attempt = &call["attempts"][0];
    let phase_ns = |name: &str| attempt["phases"][name].as_u64().expect(name);
    // First in the domain that is searched, and then as it is.
    assert!(phase_ns("dns") >= 2 * DELAY.as_nanos() as u64, "{call}");
    assert!(phase_ns("connect") < DELAY.as_nanos() as u64, "{call}");
    assert_eq!(attempt["socket"]["resolver"], "127.0.0.1:53", "{call}");
    let all: u64 =
        attempt["phases"].as_object().expect("phases").values().filter_map(Value::as_u64).sum();
    assert_eq!(Some(all), call["duration_ns"].as_u64(), "{call}");
}

#[test]
fn a_look_up_begins_with_the_query_that_had_no_answer() {
    if hooks() == Hooks::Older {
        return; // this kernel shows no datagrams
    }
    if !are_there(&["dnsmasq", "python3"]) {
        return;
    }
    let Some(mut lab) = Lab::open(&[endpoint("dns", HOST)], Unlisted::Drop) else { return };
    let (pid, took) = within(|network| {
        let mut python = network.patient_command("python3");
        let port = network.server.port().to_string();
        let began = Instant::now();
        let mut child =
            python.args([super::clients::PYTHON, HOST, &port]).spawn().expect("it runs");
        assert!(child.wait().expect("it ends").success());
        (child.id(), began.elapsed())
    });
    lab.follow(pid);
    lab.wait_closed(1);
    let resolved = lab.seen().iter().find_map(|one| match one.what {
        What::Resolved(resolved) => Some(resolved),
        _ => None,
    });
    let resolved = resolved.expect("a look-up");
    // The C library waits for a second, and asks the other server from another socket.
    let lasted = Duration::from_nanos(resolved.to_ns - resolved.from_ns);
    assert!(lasted >= Duration::from_secs(1) && lasted <= took, "{lasted:?} of {took:?}");
    assert_eq!(resolved.resolver, Some(([127, 0, 0, 1], 53).into()));
}
