//! Who connected: the collector's labels `process` and `workload`, and their bound.

use std::net::SocketAddr;
use std::path::Path;

use da_standin::{Options, Standin, TlsMode};
use da_testkit::server::ServerProgram;

use crate::client::request;
use crate::lab::cant_load;
use crate::turns::alone;
use crate::workload::Group;
use da_testkit::programs::skip;

const NAME: &str = "processes.kernel.test";

/// Has a process of that name connect, while another one, its child, sends the request.
fn ask(as_process: &str, group: &Group, folder: &Path, at: SocketAddr) {
    let shell = folder.join(as_process);
    if !shell.exists() {
        std::fs::copy("/bin/bash", &shell).expect("a shell of that name");
    }
    let script = format!(
        "exec 3<>/dev/tcp/{}/{}; cat request >&3; cat <&3 >answer; wait",
        at.ip(),
        at.port()
    );
    let ended = group.command(shell).arg("-c").arg(script).current_dir(folder).status();
    assert!(ended.expect("ran").success());
    let answer = std::fs::read_to_string(folder.join("answer")).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn the_first_processes_have_names_and_the_others_are_other() {
    // Whoever else talks to a provider of the catalogue would take one of the two names.
    let _alone = alone();
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let unit = format!("da-processes-{}.service", std::process::id());
    let group = match Group::new(&unit) {
        Ok(group) => group,
        Err(why) => return skip(&why),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let names = vec![NAME.to_owned()];
    let standin = Standin::start(Options { names, tls: TlsMode::Plain, ..Options::default() });
    let standin = runtime.block_on(standin).expect("a stand-in");
    let folder = tempfile::tempdir().expect("folder");
    // Longer than the collector takes to look up what a process belongs to, on a busy machine too.
    let asked = request(NAME, r#"{"first_byte_ms":1000,"chunks":1}"#, true);
    std::fs::write(folder.path().join("request"), asked).expect("written");

    let toml = format!(
        "[kernel]\nmax_processes = 2\n[[endpoint]]\nname = 'asked'\nkind = 'llm'\nhosts = ['{NAME}']\n"
    );
    let collector = ServerProgram::start(&["collect"], &toml, |_| {});
    for as_process in ["alpha", "beta", "gamma", "alpha", "delta"] {
        ask(as_process, &group, folder.path(), standin.addr());
    }
    for (process, count) in [("alpha", 2), ("beta", 1), ("other", 2)] {
        let workload = if process == "other" { process } else { &unit };
        let caller = format!("process=\"{process}\",provider=\"asked\",workload=\"{workload}\"");
        for counter in ["connections_total", "exchanges_total"] {
            collector.exposes(&format!(
                "digital_actors_socket_{counter}{{kind=\"llm\",outcome=\"ok\",{caller}}} {count}"
            ));
        }
        collector.exposes(&format!(
            "digital_actors_socket_first_byte_seconds_count{{kind=\"llm\",{caller}}} {count}"
        ));
    }
    let (_, metrics) = collector.get("/metrics");
    let labelled = ["digital_actors_socket_", "digital_actors_syscall_"];
    // Those of what is under way are of everybody.
    let of_all = ["socket_requests_in_flight", "socket_oldest_request_seconds"];
    let of_sockets = metrics
        .lines()
        .filter(|line| labelled.iter().any(|family| line.starts_with(family)))
        .filter(|line| !of_all.iter().any(|family| line.contains(family)));
    let unnamed: Vec<_> = of_sockets
        .filter(|line| ["process=\"", "workload=\""].iter().any(|label| !line.contains(label)))
        .collect();
    assert!(unnamed.is_empty(), "{unnamed:#?}");
    for beyond in ["gamma", "delta"] {
        assert!(!metrics.contains(beyond), "{beyond}");
    }
    runtime.block_on(standin.stop());
}
