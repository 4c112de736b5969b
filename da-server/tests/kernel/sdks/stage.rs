//! Who asks, and who answers: everybody in one network of the test's own, each on a machine of its own.

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use da_standin::{Options, Plan, Standin, TlsMode};

use super::asker::{Asker, Server, Speaks};
use super::machine::Machine;
use super::sdk::{QUESTIONS, Sdk};
use super::{plan, plan_with_refusal};
use crate::calls::line::Network;
use crate::clients::job::Job;
use crate::clients::nginx::{self, Nginx};
use crate::clients::program::{Client, Programs};
use crate::clients::relay::Relay;
use crate::clients::servers::{BODY, HEADERS};

/// The port of HTTPS: where an SDK asks by itself.
const HTTPS: u16 = 443;
/// Connections of a client that is no SDK, and requests on each, one after the other.
const CONNECTIONS: usize = 3;
const REQUESTS: usize = 3;
/// And then so many at once, over HTTP/2.
const AT_ONCE: usize = 2;
/// The providers that speak HTTP/2, one for each client.
pub const OVER_HTTP2: [(Client, &str, &str); 3] = [
    (Client::Curl, "api.mistral.ai", "mistral_ai"),
    (Client::Go, "api.groq.com", "groq"),
    (Client::Java, "api.deepseek.com", "deepseek"),
];
/// A model on the own network, in the clear.
pub const OWN_MODEL: (&str, &str) = ("model.sdks.kernel.test", "own-model");
const OWN_PORT: u16 = 8000;

/// The network, and what all of it share.
pub struct Stage {
    pub network: Network,
    folder: PathBuf,
    programs: Arc<Programs>,
    machines: Cell<u8>,
    /// What speaks HTTP/2, where it is, and the stand-in behind it.
    http2: (Arc<Nginx>, u16),
    _behind: Standin,
}

impl Stage {
    /// With files in `folder`.
    pub fn open(folder: &Path, programs: Programs) -> Self {
        let network = Network::new();
        network.command("ip link set lo up");
        let behind = standin(&network, "127.0.0.1:0", &[], TlsMode::Plain, plan());
        let names = OVER_HTTP2.map(|(_, host, _)| host.to_owned());
        let own = rcgen::generate_simple_self_signed(names).expect("a certificate");
        fs::write(folder.join("nginx.pem"), own.cert.pem()).expect("written");
        fs::write(folder.join("key.pem"), own.signing_key.serialize_pem()).expect("written");
        let (at, port) = (folder.to_owned(), behind.addr().port());
        let start = move || Nginx::start(&at, port, REQUESTS);
        let nginx = Arc::new(network.thread(start).join().expect("nginx"));
        let socket = nginx::socket(folder, true, true);
        let relay = network.thread(|| Relay::start(socket)).join().expect("a relay");
        Self {
            network,
            folder: folder.to_owned(),
            programs: Arc::new(programs),
            machines: Cell::new(0),
            http2: (nginx, relay.port),
            _behind: behind,
        }
    }

    /// What the collector has to be told of: no catalogue has it.
    pub fn configuration() -> String {
        let (host, name) = OWN_MODEL;
        format!("[[endpoint]]\nname = '{name}'\nkind = 'llm'\nhosts = ['{host}']\n")
    }

    /// An SDK. The first question of one that retries is refused.
    pub fn sdk(&self, sdk: Sdk) -> Asker {
        let machine = self.machine(sdk.host);
        let plan = if sdk.retries() { plan_with_refusal() } else { plan() };
        let (standin, ca_file) = self.provider(&machine, sdk.host, HTTPS, TlsMode::Both, plan);
        Asker {
            process: sdk.process(),
            provider: sdk.provider,
            host: sdk.host.to_owned(),
            speaks: Speaks::Http1,
            questions: QUESTIONS,
            server: Server::Standin(standin),
            machine,
            ask: Box::new(move || sdk.ask(&ca_file)),
        }
    }

    /// A client that asks over TLS, by HTTP/1.1, though some offer HTTP/2 as well.
    pub fn over_http1(
        &self,
        client: Client,
        (host, provider): (&'static str, &'static str),
    ) -> Asker {
        let machine = self.machine(host);
        let (standin, ca_file) = self.provider(&machine, host, HTTPS, TlsMode::Both, plan());
        let job = job(host, &machine, HTTPS, ca_file, Speaks::Http1);
        self.client(client, provider, Speaks::Http1, Server::Standin(standin), machine, job)
    }

    /// A client of [`OVER_HTTP2`].
    pub fn over_http2(
        &self,
        (client, host, provider): (Client, &'static str, &'static str),
    ) -> Asker {
        let machine = self.machine(host);
        let (nginx, port) = &self.http2;
        let ca_file = self.folder.join("nginx.pem");
        let job = job(host, &machine, *port, ca_file, Speaks::Http2);
        let server = Server::Nginx(Arc::clone(nginx));
        self.client(client, provider, Speaks::Http2, server, machine, job)
    }

    /// Java, which in the clear asks for an upgrade to HTTP/2 unless it is told not to.
    pub fn asks_for_an_upgrade(&self) -> Asker {
        let (host, provider) = OWN_MODEL;
        let machine = self.machine(host);
        let (standin, ca_file) = self.provider(&machine, host, OWN_PORT, TlsMode::Plain, plan());
        let job = job(host, &machine, OWN_PORT, ca_file, Speaks::Upgrade);
        let server = Server::Standin(standin);
        self.client(Client::Java, provider, Speaks::Upgrade, server, machine, job)
    }

    fn machine(&self, host: &str) -> Machine {
        self.machines.update(|made| made + 1);
        Machine::new(self.machines.get(), host, &self.folder)
    }

    /// The provider of a machine, and the file with the certificate to trust.
    fn provider(
        &self,
        machine: &Machine,
        host: &str,
        port: u16,
        tls: TlsMode,
        plan: Plan,
    ) -> (Standin, PathBuf) {
        let at = SocketAddr::new(machine.address, port).to_string();
        let standin = standin(&self.network, &at, &[host], tls, plan);
        let ca_file = self.folder.join(format!("{}.pem", machine.address));
        fs::write(&ca_file, standin.ca_pem()).expect("written");
        (standin, ca_file)
    }
    fn client(
        &self,
        client: Client,
        provider: &'static str,
        speaks: Speaks,
        server: Server,
        machine: Machine,
        job: Job,
    ) -> Asker {
        let programs = Arc::clone(&self.programs);
        Asker {
            process: client.process().to_owned(),
            provider,
            host: job.name.clone(),
            speaks,
            questions: job.exchanges(),
            server,
            machine,
            ask: Box::new(move || programs.run(client, &job)),
        }
    }
}

/// What a client that is no SDK is to ask. Each offers HTTP/2, as it does by itself.
fn job(host: &str, machine: &Machine, port: u16, ca_file: PathBuf, speaks: Speaks) -> Job {
    let tls = (speaks != Speaks::Upgrade).then_some("1.3");
    let scheme = if tls.is_some() { "https" } else { "http" };
    Job {
        url: format!("{scheme}://{host}:{port}/v1/messages"),
        name: host.to_owned(),
        address: machine.address,
        port,
        tls,
        http2: true,
        ca_file,
        connections: CONNECTIONS,
        requests: REQUESTS,
        at_once: if speaks == Speaks::Http2 { AT_ONCE } else { 0 },
        headers: HEADERS.into(),
        last_headers: [("x-standin-plan", r#"{"close":true}"#)].into(),
        body: BODY,
    }
}

fn standin(network: &Network, at: &str, names: &[&str], tls: TlsMode, plan: Plan) -> Standin {
    let options = Options {
        listen: at.parse().expect("an address"),
        names: names.iter().map(ToString::to_string).collect(),
        tls,
        plan,
        ..Options::default()
    };
    network.run(Standin::start(options)).expect("a stand-in")
}
