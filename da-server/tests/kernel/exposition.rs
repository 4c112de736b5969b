//! The kernel view's families, as `/metrics` has them once there is something in all of them.

use da_standin::{Options, Standin, TlsMode};
use da_testkit::promtool;
use da_testkit::server::ServerProgram;

use crate::client::{Client, Tls, config};
use crate::lab::cant_load;
use crate::turns::beside;
use da_testkit::programs::skip;

const NAME: &str = "exposition.kernel.test";

/// What dashboards and alerts rely on, each with its type. About sockets, per endpoint:
const OF_SOCKETS: &[(&str, &str)] = &[
    ("socket_connect_seconds", "histogram"),
    ("socket_tls_handshake_seconds", "histogram"),
    ("socket_first_byte_seconds", "histogram"),
    ("socket_response_seconds", "histogram"),
    ("socket_chunk_gap_seconds", "histogram"),
    ("socket_long_gap_seconds", "histogram"),
    ("socket_pickup_seconds", "histogram"),
    ("socket_pickup_cause_seconds_total", "counter"),
    ("socket_rtt_seconds", "histogram"),
    ("syscall_seconds", "histogram"),
    ("socket_connections_total", "counter"),
    ("socket_open_connections", "gauge"),
    ("socket_idle_seconds", "histogram"),
    ("socket_exchanges_total", "counter"),
    ("socket_sent_bytes_total", "counter"),
    ("socket_received_bytes_total", "counter"),
    ("socket_retransmits_total", "counter"),
    ("socket_resets_total", "counter"),
];

/// And about the view itself.
const OF_THE_VIEW: &[(&str, &str)] = &[
    ("ebpf_up", "gauge"),
    ("ebpf_program_state", "gauge"),
    ("ebpf_program_run_seconds_total", "counter"),
    ("ebpf_program_runs_total", "counter"),
    ("ebpf_events_total", "counter"),
    ("ebpf_lost_total", "counter"),
    ("ebpf_map_entries", "gauge"),
    ("ebpf_map_capacity", "gauge"),
];

/// Two exchanges, one of them streamed, on a connection that is closed; one on another that is broken
/// off; and one that stays open, which is handed back.
fn talk(standin: &Standin) -> Client {
    let config = config(standin.ca_pem(), Tls::V12);
    let client = || {
        let mut client = Client::connect(standin.addr(), NAME, Some(&config));
        client.handshake().expect("a handshake");
        client
    };
    let streamed = r#"{"first_byte_ms":5,"chunks":4,"between_chunks_ms":3}"#;
    let mut ends = client();
    assert!(ends.exchange(NAME, streamed, false).starts_with(b"HTTP/1.1 200"));
    let paused = r#"{"chunks":2,"between_chunks_ms":300}"#;
    assert!(ends.exchange(NAME, paused, true).starts_with(b"HTTP/1.1 200"));
    ends.close();
    let mut breaks = client();
    breaks.exchange(NAME, r#"{"fault":{"kind":"reset_before_first_token"}}"#, false);
    breaks.close();
    let mut stays = client();
    assert!(stays.exchange(NAME, streamed, false).starts_with(b"HTTP/1.1 200"));
    stays
}

/// Starts `da-server` with this command, and looks at its exposition once it has seen all that.
fn check(command: &str) {
    let _turn = beside([NAME]);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let names = vec![NAME.to_owned()];
    let standin = Standin::start(Options { names, tls: TlsMode::V12, ..Options::default() });
    let standin = runtime.block_on(standin).expect("a stand-in");
    let toml = format!("[[endpoint]]\nname = 'exposition'\nkind = 'llm'\nhosts = ['{NAME}']\n");
    let server = ServerProgram::start(&[command], &toml, |command| {
        command.env("ANTHROPIC_API_KEY", "none");
    });
    let stays = talk(&standin);
    let has = |text: &str, family: &str, label: &str| {
        let series = format!("digital_actors_{family}{{");
        let labels = [label, "kind=\"llm\"", "provider=\"exposition\""];
        text.lines().any(|line| {
            line.starts_with(&series) && labels.iter().all(|label| line.contains(label))
        })
    };
    server.wait_for("both ends", || {
        let (_, text) = server.get("/metrics");
        has(&text, "socket_exchanges_total", "outcome=\"reset\"")
            && has(&text, "socket_lifetime_seconds_count", "")
    });
    let (_, text) = server.get("/metrics");
    stays.close();
    runtime.block_on(standin.stop());

    let documentation = include_str!("../../../docs/METRICS.md");
    for (family, kind) in OF_SOCKETS.iter().chain(OF_THE_VIEW) {
        let named = format!("# TYPE digital_actors_{family} {kind}");
        assert!(text.lines().any(|line| line == named), "{family} is no {kind}: {text}");
    }
    for (family, kind) in OF_SOCKETS {
        let family =
            if *kind == "histogram" { format!("{family}_count") } else { (*family).into() };
        assert!(has(&text, &family, ""), "nothing in {family}: {text}");
    }
    for (family, kind) in exported(&text) {
        let row = documentation.lines().find(|line| {
            let mut cells = line.split(" | ");
            cells.next().is_some_and(|cell| cell.contains(&format!("`{family}`")))
                && cells.next().is_some_and(|cell| cell.split(' ').next() == Some(kind))
        });
        let conventional = ["build_info", "process_"].iter().any(|name| family.starts_with(name));
        assert!(row.is_some() || conventional, "METRICS.md has no {kind} {family}");
    }
    promtool::finds_nothing_in(&text);
}

/// The families of an exposition and their types.
fn exported(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    typed.map(|(family, kind)| (family.strip_prefix("digital_actors_").unwrap_or(family), kind))
}

#[test]
fn the_collector_has_every_family_documented_and_well_formed() {
    check("collect");
}

#[test]
fn the_game_has_them_beside_its_own() {
    check("serve");
}
