//! The kernel view: what the sockets to the configured endpoints did, measured by BPF programs.
//!
//! [`Kernel::load`] loads and attaches them and then drops the process's privileges, while it has
//! one thread; [`Kernel::start`] reads what they report until the end. The only module that knows aya.
//!
//! * `load` gets the programs in and says what became of that; `preflight` what there can be on this
//!   host.
//! * `reader` takes their events, `tracker` remembers what must be of each connection.
//! * `endpoints` says whose connections they are of.
//! * `connection`, `tls`, `exchange`, `arrival`, `long_gap`, `pickup`, `reset`, `existing`, `leftover`, `syscall`
//!   (the probes, named as in da-ebpf) turn them into measurements; `series` holds these,
//!   `observation` tells them to whoever follows single connections.
//! * `dns` tells what became of looking the endpoints' hosts up.
//! * `idle` tells how long connections were of no use, `buffered` which responses were held back, of what the probes
//!   report.
//! * `event` and `peers` are what they take in; `interleaving` tells connections that carry requests side by side.
//! * `self_metrics` measures the view itself.

mod arrival;
mod buffered;
pub mod config;
mod connection;
mod dns;
mod endpoints;
mod event;
mod exchange;
mod existing;
mod idle;
mod interleaving;
mod leftover;
mod load;
mod long_gap;
mod observation;
mod peers;
mod pickup;
mod preflight;
mod reader;
mod reset;
mod self_metrics;
mod series;
mod syscall;
mod tls;
mod tracker;
mod under_way;
mod workload;

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use da_ebpf_common::program::Program;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::config::{Hooks, KernelConfig, Unlisted};
pub use self::connection::ConnectionOutcome;
pub use self::dns::resolutions::Resolved;
pub use self::endpoints::catalogue::{self, EndpointConfig, EndpointKind};
pub use self::endpoints::replacement::{EndpointsInForce, NoReader};
pub use self::endpoints::services::{Names, Service, with_services};
pub use self::exchange::tickets::PRECISION_NS;
pub use self::exchange::{ExchangeOutcome, Measured};
pub use self::load::status::{Reason, Unavailable};
pub use self::long_gap::{GapCause, SeenGap, SeenGaps};
pub use self::observation::{Observation, Pickup, SeenExchange, What};
pub use self::preflight::{Extent, Preflight, Verdict};
pub use self::reader::recorded::Recorded;
pub use self::reader::replay::Replay;
pub use self::reader::settlement::Settlements;
pub use self::self_metrics::losses::Loss;
pub use self::tls::HandshakeKind;
pub use self::under_way::{LatestUnderWay, RequestState, Snapshot, UnderWay};
pub use da_ebpf_common::event::ConnectionId;

use self::endpoints::Endpoints;
use self::endpoints::lookups::Lookups;
use self::endpoints::replacement::Replacement;
use self::existing::ExistingConnections;
use self::load::Loaded;
use self::load::status::ProgramState;
use self::reader::Reader;
use self::reader::connections_map::ConnectionsMap;
use self::reader::settlement::Settlement;
use self::reader::silent::Silent;
use self::self_metrics::losses::LossMetrics;
use self::self_metrics::meters::{Meters, ReaderCpu};
use self::self_metrics::{EventMetrics, MapMetrics, SelfMetrics, StatusMetrics};
use self::series::{AllSeries, SocketRegistry};
use self::syscall::SyscallMetrics;
use self::syscall::maps::SyscallMaps;
use self::syscall::tier::Tier;
use self::tracker::Tracker;
use self::under_way::{UnderWayMetrics, UnderWayOutput};
use self::workload::Workloads;
use crate::metrics::{Metrics, Source};

/// The programs, loaded and not yet read; or why there are none.
pub struct Kernel {
    loaded: Result<Box<Loaded>, Unavailable>,
    config: KernelConfig,
    in_force: EndpointsInForce,
    replacements: mpsc::Receiver<Replacement>,
    settlements: (Settlements, Receiver<Settlement>),
    under_way: LatestUnderWay,
}

impl Kernel {
    /// Loads and attaches the programs. Never fails: a server without a kernel view serves.
    pub fn load(config: &KernelConfig) -> Self {
        let loaded = load::load(config).map(Box::new);
        let (in_force, replacements) = EndpointsInForce::channel();
        let (settlements, under_way) = (Settlements::channel(), LatestUnderWay::default());
        Self { loaded, config: config.clone(), in_force, replacements, settlements, under_way }
    }

    /// Gives up every privilege of the process for good. Call it while the process has one thread.
    ///
    /// # Errors
    /// The kernel refused; the sentence says what.
    pub fn drop_privileges() -> Result<(), load::privileges::DropError> {
        load::privileges::drop_all()
    }

    /// Why there is no kernel view, if so.
    pub fn unavailable(&self) -> Option<&Unavailable> {
        self.loaded.as_ref().err()
    }

    /// What became of each program; nothing where they were not tried.
    fn program_states(&self) -> &[(Program, ProgramState)] {
        match &self.loaded {
            Ok(loaded) => loaded.programs.states(),
            Err(why) => &why.programs,
        }
    }

    /// How to put another list of endpoints in force once reading has begun.
    pub fn endpoints_in_force(&self) -> EndpointsInForce {
        self.in_force.clone()
    }

    /// How to ask for what an idle connection owes once reading has begun.
    pub fn settlements(&self) -> Settlements {
        self.settlements.0.clone()
    }

    /// The requests that are under way, once reading has begun.
    pub fn under_way(&self) -> LatestUnderWay {
        self.under_way.clone()
    }

    /// Registers all families and begins to read, until `shutdown`. Each measurement is also
    /// offered to `subscriber`.
    ///
    /// # Errors
    /// A family is already registered, or no thread could be had.
    pub fn start(
        self,
        watch: Watch,
        metrics: &Metrics,
        subscriber: Option<SyncSender<Observation>>,
        shutdown: CancellationToken,
    ) -> Result<Option<JoinHandle<()>>, StartError> {
        let registry = metrics.registry();
        let programs = self.loaded.as_ref().map(|loaded| &loaded.programs);
        let status = StatusMetrics::register(registry, programs.map_err(|why| why.reason))?;
        let Ok(mut loaded) = self.loaded else { return Ok(None) };
        let endpoints = watch.endpoints();
        let existing = loaded
            .programs
            .take_existing()
            .map(|file| ExistingConnections::new(file, self.config.max_connections));
        let leftovers = loaded.programs.take_leftovers();
        let sees_reads = [Program::SockRecv, Program::TcpRead]
            .into_iter()
            .any(|program| loaded.programs.states().contains(&(program, ProgramState::Attached)));
        let losses = LossMetrics::new()?;
        let meters = Meters::new(loaded.meters);
        let maps = MapMetrics::new()?;
        let tier = loaded.syscalls.map(|syscalls| {
            let registry_of_times = metrics.registry_of(Source::Syscalls);
            let sockets =
                SocketRegistry { registry: registry_of_times, by_caller: watch.max_processes > 0 };
            let times = SyscallMetrics::register(sockets, syscalls.series_calls)?;
            let calls = SyscallMaps::new(syscalls.maps, times, maps.clone(), losses.clone());
            Tier::begin(syscalls.links, calls, self.config.cpu_budget, meters.clone(), registry)
        });
        let own_lookups = loaded.dns.own.clone();
        let connections = ConnectionsMap::new(
            loaded.connections,
            Silent::new(loaded.silent, self.config.max_connections),
        );
        metrics.registry_of(Source::Programs).register(Box::new(SelfMetrics::new(
            meters,
            loaded.counters,
            loaded.programs,
            connections.forgotten(),
            losses.clone(),
            maps,
            self.config.max_connections,
        )?))?;
        if let Some(recorder) = &self.config.recorder {
            let commit = crate::COMMIT.to_owned();
            recorder.write(&Recorded::Begun { commit, watch: watch.clone() });
        }
        let reader = Reader {
            ebpf: loaded.ebpf,
            events: loaded.events,
            connections,
            dns: loaded.dns,
            replacements: self.replacements,
            settlements: self.settlements.1,
            logger: loaded.logger,
            ring_bytes: self.config.ring_bytes,
            cpu_budget: self.config.cpu_budget,
            silence: Duration::from_secs(self.config.silence_seconds.into()),
            tracker: Tracker::new(
                endpoints,
                AllSeries::new(watch.max_processes),
                losses.clone(),
                registry,
            )?
            .with_workloads(Workloads::of_host())
            .with_reads(sees_reads),
            existing,
            leftovers,
            lookups: Lookups::register(registry, self.config.resolve, own_lookups)?,
            tier: tier.transpose()?,
            reader_cpu: ReaderCpu::register(registry)?,
            event_metrics: EventMetrics::register(registry)?,
            losses,
            status,
            subscriber,
            under_way: UnderWayOutput {
                latest: self.under_way,
                metrics: UnderWayMetrics::register(registry)?,
            },
            recorder: self.config.recorder,
        };
        Ok(Some(reader.spawn(shutdown)?))
    }
}

/// What to look at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Watch {
    /// The endpoints, validated: [`with_services`].
    pub endpoints: Vec<EndpointConfig>,
    /// What becomes of connections to other hosts.
    pub unlisted: Unlisted,
    /// How many callers are told apart, by the labels `process` and `workload`; 0: none, and there are no such labels.
    pub max_processes: u32,
    /// Hosts whose addresses are known beforehand: a connect that fails shows no name.
    pub resolved: Vec<(String, SocketAddr)>,
}

impl Watch {
    /// Whose connections are whose, as far as it is known beforehand.
    fn endpoints(&self) -> Endpoints {
        let mut endpoints = Endpoints::new(&self.endpoints, self.unlisted);
        for (host, address) in &self.resolved {
            endpoints.resolved(host, *address);
        }
        endpoints
    }
}

/// Why reading could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A family is already registered.
    #[error("can't register the kernel view's metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The operating system gave no thread, or no descriptor.
    #[error("can't start the kernel view's reader: {0}")]
    Reader(#[from] io::Error),
}
