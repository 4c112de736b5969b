//! A provider of a test's own, and the way there.

use da_server::kernel::EndpointConfig;
use da_server::llm::LlmClient;
use da_server::tts::TtsClient;
use da_standin::{Options, Plan, Standin};
use tokio::runtime::{Builder, Runtime};

use super::desk::{Desk, http, url};
use crate::lab::{config, endpoint_at};

/// A stand-in on a thread of its own.
pub struct Provider {
    pub standin: Standin,
    name: &'static str,
    http: reqwest::Client,
    _runtime: Runtime,
}

impl Provider {
    /// Answers under a name, over TLS.
    pub fn start(name: &'static str, plan: Plan) -> Self {
        let runtime = one_worker();
        let options = Options { names: vec![name.to_owned()], plan, ..Options::default() };
        let standin = runtime.block_on(Standin::start(options)).expect("a stand-in");
        let http = http(&standin, &[name]);
        Self { standin, name, http, _runtime: runtime }
    }

    /// As the kernel view knows it: by its name, and its address where no name is seen.
    pub fn endpoint(&self) -> EndpointConfig {
        endpoint_at(self.name, self.name, self.standin.addr())
    }

    /// A desk whose kernel view watches it; `None` where this machine can't.
    pub fn desk(&self) -> Option<Desk> {
        Desk::open(&config(), &[self.endpoint()])
    }

    /// A client of its model. All clients share their connections.
    pub fn model(&self, desk: &Desk) -> LlmClient {
        desk.client(&self.http, &url(self.name, self.standin.addr()))
    }

    /// A client of its voice.
    pub fn voice(&self, desk: &Desk) -> TtsClient {
        desk.voice(&self.http, &url(self.name, self.standin.addr()))
    }
}

/// A runtime of one thread beside the test's own.
pub fn one_worker() -> Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime")
}
