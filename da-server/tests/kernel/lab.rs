//! A loaded kernel view, a stand-in provider, and what each of them saw.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use da_server::clock::own_pid;
use da_server::kernel::{
    EndpointConfig, EndpointKind, Hooks, Kernel, KernelConfig, LatestUnderWay, Observation,
    Unlisted, Watch, What,
};
use da_server::metrics::Metrics;
use da_standin::{Options, Standin};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::turns::{Beside, beside};
use da_testkit::programs::skip;

/// The variable by which a run of these tests is one with the hooks of older kernels.
const OLDER_HOOKS: &str = "DA_TEST_OLDER_HOOKS";

/// The hooks to test with: on a kernel before 6.3 those of older kernels are all there are.
pub fn hooks() -> Hooks {
    static HAS_NEWEST: LazyLock<bool> = LazyLock::new(|| {
        // The kernel's own list of types has one for each of its tracepoints.
        let mut look = Command::new("grep");
        look.args(["--quiet", "--text", "btf_trace_sock_send_length", "/sys/kernel/btf/vmlinux"]);
        look.status().is_ok_and(|status| status.success())
    });
    let wants_older = std::env::var_os(OLDER_HOOKS).is_some();
    if wants_older || !*HAS_NEWEST { Hooks::Older } else { Hooks::Newest }
}

/// Why this machine can't load the programs, if so.
pub fn cant_load() -> Option<String> {
    Kernel::load(&KernelConfig::default()).unavailable().map(ToString::to_string)
}

/// An LLM endpoint with one host.
pub fn endpoint(name: &str, host: &str) -> EndpointConfig {
    EndpointConfig {
        name: name.to_owned(),
        kind: EndpointKind::Llm,
        hosts: vec![host.to_owned()],
        addresses: Vec::new(),
    }
}

/// The same, known by its address as well: what a connection without a name can be told by.
pub fn endpoint_at(name: &str, host: &str, address: SocketAddr) -> EndpointConfig {
    EndpointConfig { addresses: vec![address], ..endpoint(name, host) }
}

/// Names of tests are not asked of anybody, and what else a host is busy with sheds nothing.
pub fn config() -> KernelConfig {
    KernelConfig { resolve: false, cpu_budget: 1.0, ..KernelConfig::default() }
}

/// Whether a series of `ebpf_lost_total` is of a reason that may be about any connection of the host.
fn is_of_anyone(line: &str) -> bool {
    const REASONS: [&str; 4] = ["recursion", "unparsable_hello", "unseen_close", "verdict_race"];
    REASONS.iter().any(|reason| line.contains(&format!("\"{reason}\"")))
}

/// Series of `ebpf_lost_total` in an exposition that are not 0 and are not of anyone.
pub fn losses(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with("digital_actors_ebpf_lost_total{"));
    let lines = lines.filter(|line| !line.ends_with(" 0") && !is_of_anyone(line));
    lines.map(str::to_owned).collect()
}

/// Waits until no other test watches these endpoints.
pub fn turn(endpoints: &[EndpointConfig]) -> Arc<Beside> {
    Arc::new(beside(endpoints.iter().flat_map(|one| &one.hosts).map(String::as_str)))
}

/// The view under test.
pub struct Lab {
    /// Where stand-ins run.
    pub runtime: Runtime,
    /// What is under way.
    pub under_way: LatestUnderWay,
    metrics: Metrics,
    observations: Receiver<Observation>,
    seen: Vec<Observation>,
    processes: Vec<u32>,
    shutdown: CancellationToken,
    reader: Option<JoinHandle<()>>,
    turn: Arc<Beside>,
}

impl Lab {
    /// Loads the programs and watches `endpoints`; `None` where this machine can't.
    pub fn open(endpoints: &[EndpointConfig], unlisted: Unlisted) -> Option<Self> {
        Self::with(&config(), endpoints, unlisted)
    }

    /// The same with a configuration of its own.
    pub fn with(
        config: &KernelConfig,
        endpoints: &[EndpointConfig],
        unlisted: Unlisted,
    ) -> Option<Self> {
        Self::after(|| (), config, endpoints, unlisted).map(|(lab, ())| lab)
    }

    /// The same, right after something that must not wait for other tests, or that these would see.
    pub fn after<T>(
        prepare: impl FnOnce() -> T,
        config: &KernelConfig,
        endpoints: &[EndpointConfig],
        unlisted: Unlisted,
    ) -> Option<(Self, T)> {
        let turn = turn(endpoints);
        let prepared = prepare();
        Self::start(turn, config, endpoints, unlisted, || {}).map(|lab| (lab, prepared))
    }

    /// The same, with `unread` done after the programs are attached and before anybody reads what
    /// they report.
    pub fn late(
        config: &KernelConfig,
        endpoints: &[EndpointConfig],
        unread: impl FnOnce(),
    ) -> Option<Self> {
        Self::start(turn(endpoints), config, endpoints, Unlisted::Drop, unread)
    }

    /// A second view of the same host at the same time.
    pub fn beside(&self, endpoints: &[EndpointConfig]) -> Self {
        let turn = Arc::clone(&self.turn);
        Self::start(turn, &config(), endpoints, Unlisted::Drop, || {}).expect("loads again")
    }

    fn start(
        turn: Arc<Beside>,
        config: &KernelConfig,
        endpoints: &[EndpointConfig],
        unlisted: Unlisted,
        unread: impl FnOnce(),
    ) -> Option<Self> {
        let kernel = Kernel::load(&KernelConfig { hooks: hooks(), ..config.clone() });
        if let Some(why) = kernel.unavailable() {
            skip(&why.to_string());
            return None;
        }
        if own_pid().is_none() {
            skip(
                "this test knows its own connections by its process's number, which is another one for \
                 the kernel in a PID namespace: run it in the host's (docker run --pid=host)",
            );
            return None;
        }
        unread();
        let metrics = Metrics::new().expect("metrics");
        let (sender, observations) = sync_channel(1 << 18);
        let (shutdown, under_way) = (CancellationToken::new(), kernel.under_way());
        let watch = Watch {
            endpoints: endpoints.to_vec(),
            unlisted,
            max_processes: 0,
            resolved: Vec::new(),
        };
        let reader = kernel
            .start(watch, &metrics, Some(sender), shutdown.clone())
            .expect("the reader starts");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (seen, processes) = (Vec::new(), vec![std::process::id()]);
        let lab = Self {
            runtime,
            under_way,
            metrics,
            observations,
            seen,
            processes,
            shutdown,
            reader,
            turn,
        };
        lab.wait_for_older_connections();
        Some(lab)
    }

    /// Until all connections that are older than the programs have been found.
    fn wait_for_older_connections(&self) {
        let looking = "digital_actors_ebpf_program_state{program=\"existing\",state=\"attached\"}";
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.value(looking) != 0.0 {
            assert!(Instant::now() < deadline, "still looking for older connections");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts a stand-in.
    pub fn standin(&self, options: Options) -> Standin {
        self.runtime.block_on(Standin::start(options)).expect("a stand-in")
    }

    /// Wants to see the connections of a process beside this one's.
    pub fn follow(&mut self, process_id: u32) {
        self.processes.push(process_id);
    }

    /// Everything observed so far of this process's connections, and of those that are followed.
    pub fn seen(&mut self) -> &[Observation] {
        let processes = &self.processes;
        let own = |one: &Observation| processes.contains(&one.pid);
        self.seen.extend(self.observations.try_iter().filter(own));
        &self.seen
    }

    /// Waits until `count` connections have closed, a minute at most.
    pub fn wait_closed(&mut self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let closed = |seen: &[Observation]| {
            seen.iter().filter(|one| matches!(one.what, What::Closed { .. })).count()
        };
        while closed(self.seen()) < count && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The exposition.
    pub fn metrics(&self) -> String {
        self.metrics.expose().expect("encodes")
    }

    /// Value of one series, as written in the exposition; 0 where it is absent.
    pub fn value(&self, series: &str) -> f64 {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Series of `ebpf_lost_total` that are not 0. Not runs that nested, nor what they left behind, nor
    /// sockets that were used again at once: they may have been about any connection of the host, and
    /// where they were not, counts and times above do not come out.
    pub fn losses(&self) -> Vec<String> {
        losses(&self.metrics())
    }

    /// The same without reasons that are none of the test's, by how they begin.
    pub fn losses_but(&self, reasons: &str) -> Vec<String> {
        let reasons = format!("reason=\"{reasons}");
        self.losses().into_iter().filter(|line| !line.contains(&reasons)).collect()
    }

    /// Ends the view and hands over what it saw.
    pub fn close(mut self) -> Vec<Observation> {
        assert!(self.end(), "the reader panicked");
        self.seen();
        std::mem::take(&mut self.seen)
    }

    /// Whether the reader ended in order.
    fn end(&mut self) -> bool {
        self.shutdown.cancel();
        self.reader.take().is_none_or(|reader| reader.join().is_ok())
    }
}

/// A view that nobody closes would go on beside those of the tests to come.
impl Drop for Lab {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn the_hooks_are_those_that_are_asked_for() {
    let Some(lab) = Lab::open(&[endpoint("lab", "lab.kernel.test")], Unlisted::Drop) else {
        return;
    };
    let attached = |program: &str| {
        lab.value(&format!(
            "digital_actors_ebpf_program_state{{program=\"{program}\",state=\"attached\"}}"
        ))
    };
    let (newest, older) = if hooks() == Hooks::Older { (0.0, 1.0) } else { (1.0, 0.0) };
    for (program, substitute) in
        [("sock_send", "syscall_send"), ("sock_arrival", "tcp_segment"), ("sock_recv", "tcp_read")]
    {
        assert_eq!((attached(program), attached(substitute)), (newest, older), "{program}");
    }
}
