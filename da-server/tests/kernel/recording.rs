//! What a collector records is shown again as it was.

use std::collections::BTreeSet;

use da_standin::{Options, Standin};
use da_testkit::recording::at_once;
use da_testkit::server::ServerProgram;

use crate::client::{Client, Tls, config};
use crate::lab::cant_load;
use crate::turns::beside;
use da_testkit::programs::skip;

const NAME: &str = "recorded.kernel.test";
const REQUESTS: usize = 5;

/// What is exposed of the sockets to it.
fn sockets(program: &ServerProgram) -> BTreeSet<String> {
    let (_, text) = program.get("/metrics");
    let lines = text.lines().filter(|line| line.starts_with("digital_actors_socket_"));
    // What is under way is looked up in the kernel's maps once a second, which a replay has not.
    let is_of_a_look =
        |line: &&str| ["_in_flight{", "_oldest_request_"].iter().any(|of| line.contains(of));
    let lines = lines.filter(|line| !is_of_a_look(line));
    lines.filter(|line| line.contains("provider=\"recorded\"")).map(str::to_owned).collect()
}

/// Waits until it has counted every request, however it went, and the connection is closed.
fn all_are_counted(program: &ServerProgram) {
    program.wait_for("every request and the end", || {
        let sockets = sockets(program);
        let values = |family: &str| {
            let lines = sockets.iter().filter(|line| line.starts_with(family));
            lines
                .map(|line| {
                    line.rsplit_once(' ').expect("a value").1.parse::<usize>().expect("a count")
                })
                .sum::<usize>()
        };
        values("digital_actors_socket_exchanges_total{") == REQUESTS
            && values("digital_actors_socket_lifetime_seconds_count{") == 1
    });
}

#[test]
fn a_replay_exposes_what_was_exposed_while_it_was_recorded() {
    let _turn = beside([NAME]);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let standin = Standin::start(Options { names: vec![NAME.to_owned()], ..Options::default() });
    let standin = runtime.block_on(standin).expect("a stand-in");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let (recorded, instant) = (path("recorded"), path("instant"));
    let toml = format!(
        "[kernel]\nmax_processes = 0\n[[endpoint]]\nname = 'recorded'\nkind = 'llm'\nhosts = ['{NAME}']\n"
    );
    let collector = ServerProgram::start(&["collect", "--record", &recorded], &toml, |_| {});
    let tls = config(standin.ca_pem(), Tls::V13);
    let mut client = Client::connect(standin.addr(), NAME, Some(&tls));
    client.handshake().expect("a handshake");
    for _ in 0..REQUESTS {
        client.exchange(NAME, r#"{"first_byte_ms":5,"chunks":3}"#, false);
    }
    drop(client);
    all_are_counted(&collector);
    let exposed = sockets(&collector);
    collector.signal(libc::SIGTERM);
    assert_eq!(collector.wait().0.code(), Some(0));

    let text = std::fs::read_to_string(&recorded).expect("recorded");
    std::fs::write(&instant, at_once(&text)).expect("written");
    let replay = ServerProgram::start(&["replay", &instant], "", |_| {});
    all_are_counted(&replay);
    assert_eq!(sockets(&replay), exposed);
}
