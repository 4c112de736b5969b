//! Other endpoints while connections are followed: the collector as a program, real connections.

use std::net::SocketAddr;
use std::sync::Arc;

use da_standin::{Options, Standin};
use da_testkit::server::ServerProgram;
use rustls::ClientConfig;

use crate::client::{Client, Tls, config};
use crate::lab::{cant_load, losses};
use crate::turns::beside;
use da_testkit::programs::skip;

const STAYS: &str = "stays.kernel.test";
const COMES: &str = "comes.kernel.test";
const QUICK: &str = r#"{"first_byte_ms":5,"chunks":1}"#;

fn toml(endpoints: &[(&str, &str)]) -> String {
    let one = |(name, host): &(&str, &str)| {
        format!("[[endpoint]]\nname = '{name}'\nkind = 'llm'\nhosts = ['{host}']\n")
    };
    "[kernel]\nmax_processes = 0\n".to_owned() + &endpoints.iter().map(one).collect::<String>()
}

fn series(family: &str, endpoint: &str) -> String {
    format!("digital_actors_socket_{family}{{kind=\"llm\",provider=\"{endpoint}\"}}")
}

/// The sum of a family's series of an endpoint, whatever their other labels; none if there are none.
fn sum(collector: &ServerProgram, family: &str, endpoint: &str) -> Option<f64> {
    let prefix = format!("digital_actors_socket_{family}{{");
    let label = format!(",provider=\"{endpoint}\"");
    let (_, text) = collector.get("/metrics");
    let values: Vec<f64> = text
        .lines()
        .filter(|line| line.starts_with(&prefix) && line.contains(&label))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

fn open(at: SocketAddr, name: &str, tls: &Arc<ClientConfig>) -> Client {
    let mut client = Client::connect(at, name, Some(tls));
    client.handshake().expect("a handshake");
    client
}

fn ask(client: &mut Client, name: &str) {
    assert!(client.exchange(name, QUICK, false).starts_with(b"HTTP/1.1 200"));
}

#[test]
fn counts_and_connections_outlive_a_change_of_endpoints() {
    let _turn = beside([STAYS, COMES]);
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let names = vec![STAYS.to_owned(), COMES.to_owned()];
    let standin = Standin::start(Options { names, ..Options::default() });
    let standin = runtime.block_on(standin).expect("a stand-in");
    let (at, tls) = (standin.addr(), config(standin.ca_pem(), Tls::V13));
    let collector = ServerProgram::start(&["collect"], &toml(&[("stays", STAYS)]), |_| {});

    let mut followed = open(at, STAYS, &tls);
    for _ in 0..3 {
        ask(&mut followed, STAYS);
    }
    let mut unlisted = open(at, COMES, &tls);
    ask(&mut unlisted, COMES);
    unlisted.close();
    // Of what was asked last an idle connection owes the report.
    collector
        .wait_for("two exchanges", || sum(&collector, "exchanges_total", "stays") == Some(2.0));
    let bytes = collector.value(&series("sent_bytes_total", "stays")).expect("counted");

    // A mistake changes nothing.
    collector.reload("[[endpoint]]\n");
    collector.exposes("digital_actors_config_reloads_total{result=\"failure\"} 1");
    // Its name stays, and has another host; what it had is nobody's.
    collector.reload(&toml(&[("stays", "elsewhere.kernel.test"), ("comes", COMES)]));
    collector.exposes("digital_actors_config_reloads_total{result=\"success\"} 1");

    for _ in 0..3 {
        ask(&mut followed, STAYS);
    }
    followed.close();
    let mut listed = open(at, COMES, &tls);
    ask(&mut listed, COMES);
    listed.close();
    let mut unlisted = open(at, STAYS, &tls);
    ask(&mut unlisted, STAYS);
    unlisted.close();

    collector
        .wait_for("six exchanges", || sum(&collector, "exchanges_total", "stays") == Some(6.0));
    collector.wait_for("one exchange", || sum(&collector, "exchanges_total", "comes") == Some(1.0));
    assert!(collector.value(&series("sent_bytes_total", "stays")) > Some(bytes));
    for endpoint in ["stays", "comes"] {
        assert_eq!(sum(&collector, "connections_total", endpoint), Some(1.0), "{endpoint}");
    }
    let lost = losses(&collector.get("/metrics").1);
    assert!(lost.is_empty(), "{lost:?}");
    runtime.block_on(standin.stop());
}
