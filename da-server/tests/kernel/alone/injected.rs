//! What makes calls of other programs slow, put in one by one, and what a collector's page then says of each.

mod server;

use std::collections::BTreeMap;
use std::process::Child;

use da_server::kernel::Hooks;
use da_testkit::programs::{are_there, skip};
use da_testkit::server::ServerProgram;
use serde_json::Value;

use self::server::Server;
use crate::dns::clients::{CLIENTS, Client};
use crate::dns::network::{HOST, Network, within};
use crate::lab::{cant_load, hooks};
use crate::turns::alone;

/// Clients by what they are called in the table.
const MAKES: &[&str] = &["C library, Python", "Node, getaddrinfo", "Go", "Java"];
/// What makes a call slow, and what is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// The provider never answers.
    Hung,
    /// Its answer pauses.
    Provider,
    /// A proxy collects the answer.
    Buffered,
    /// DNS is slow.
    Resolver,
    /// The process is kept from a CPU.
    Cpu,
    /// Nothing of that.
    Nothing,
}

impl Cause {
    const INJECTED: [Self; 5] =
        [Self::Hung, Self::Provider, Self::Buffered, Self::Resolver, Self::Cpu];

    fn as_str(self) -> &'static str {
        match self {
            Self::Hung => "hung",
            Self::Provider => "provider",
            Self::Buffered => "buffered",
            Self::Resolver => "resolver",
            Self::Cpu => "cpu",
            Self::Nothing => "nothing",
        }
    }

    /// What the page says of a call, the most particular first.
    fn said_of(call: &Value) -> Self {
        let attempt = &call["attempts"][0];
        let (phases, socket) = (&attempt["phases"], &attempt["socket"]);
        let phase_ns = |name: &str| phases[name].as_u64().expect(name);
        let longest = phases.as_object().expect("phases").iter().max_by_key(|(_, ns)| ns.as_u64());
        let longest = longest.map_or("", |(name, _)| name.as_str());
        let run_delay_ns = socket["run_delay_ns"].as_u64().unwrap_or(0);
        let is_answered = call["outcome"] == "ok";
        match longest {
            "wait" if !is_answered => Self::Hung,
            "dns" => Self::Resolver,
            "pickup" if 2 * run_delay_ns >= phase_ns("pickup") => Self::Cpu,
            _ if socket["is_buffered"] == true => Self::Buffered,
            _ if socket["long_gaps_ns"]["provider"].is_u64() => Self::Provider,
            _ => Self::Nothing,
        }
    }
}

/// Runs a client for each cause at once, but for the one that takes a CPU away from all.
fn run(network: &Network, server: &Server, make: &Client) -> Vec<(u32, Cause)> {
    let start = |cause: Cause| {
        let (_, client) = make;
        let mut command = client(network);
        // The resolver is slow for all of them: the others are slower by something else.
        command.args([HOST, &server.port().to_string(), &format!("/{}", cause.as_str())]);
        let child = server.pinned(cause == Cause::Cpu, command).spawn();
        (child.expect("it begins"), cause)
    };
    let ended = |(mut child, cause): (Child, Cause)| {
        // One that never had an answer may say so.
        let _ = child.wait().expect("it ends");
        (child.id(), cause)
    };
    let (alone, together): (Vec<_>, Vec<_>) =
        Cause::INJECTED.into_iter().partition(|cause| *cause == Cause::Cpu);
    let started: Vec<_> = together.into_iter().map(start).collect();
    let mut all: Vec<_> = started.into_iter().map(ended).collect();
    all.extend(alone.into_iter().map(|cause| ended(start(cause))));
    all
}

#[test]
fn a_slow_call_is_told_with_what_made_it_slow() {
    if hooks() == Hooks::Older {
        return; // this kernel shows no datagrams
    }
    if !are_there(&["dnsmasq", "python3", "node", "go", "java"]) {
        return;
    }
    let _alone = alone();
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let toml = format!("[[endpoint]]\nname = 'injected'\nkind = 'llm'\nhosts = ['{HOST}']\n");
    let collector = ServerProgram::start(&["collect"], &toml, |_| {});
    let runs = within(|network| {
        let server = Server::start(network.address())?;
        let clients = CLIENTS.iter().filter(|(name, _)| MAKES.contains(name));
        Some(clients.map(|make| (make.0, run(network, &server, make))).collect::<Vec<_>>())
    });
    let Some(runs) = runs else { return skip("no thread may go before others here") };
    let expected: usize = runs.iter().map(|(_, runs)| runs.len()).sum();
    let calls = || -> BTreeMap<u64, Value> {
        let (_, body) = collector.get("/api/calls?provider=injected&limit=500");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let calls = body["calls"].as_array().expect("calls").iter();
        calls.map(|call| (call["process"]["pid"].as_u64().expect("pid"), call.clone())).collect()
    };
    collector.wait_for("all calls", || calls().len() == expected);
    let calls = calls();
    let mut right = 0;
    println!("{:<20} {:<10} said", "", "injected");
    for (make, runs) in &runs {
        for (pid, cause) in runs {
            let call = &calls[&u64::from(*pid)];
            let said = Cause::said_of(call);
            println!("{make:<20} {:<10} {}", cause.as_str(), said.as_str());
            let is_ours = matches!(cause, Cause::Resolver | Cause::Cpu);
            assert!(!is_ours || said != Cause::Provider, "blamed on the provider: {call}");
            if said != *cause {
                println!("{call}");
            }
            right += usize::from(said == *cause);
        }
    }
    assert!(right * 100 >= expected * 95, "{right} of {expected} are right");
}
