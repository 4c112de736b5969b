//! Delays put in one by one, each of which must show in its own phase and in no other.

use std::sync::Arc;
use std::time::Duration;

use da_server::calls::{Attempt, Join, Phase, Reuse};
use da_server::llm::LlmClient;
use da_server::tts::TtsClient;
use da_standin::{Delay, Options, Plan, Standin};
use tokio::runtime::{Builder, Runtime};

use super::desk::{Desk, ask, http, speak, url};

const NAME: &str = "causes.calls.test";
/// What is put in.
const INJECTED_MS: f64 = 60.0;
/// How long an answer takes otherwise.
const USUAL_MS: f64 = 30.0;
/// How long the client's only worker is blocked, and from when on: when it has sent its request.
const STALL_MS: u64 = 200;
const STALL_AFTER_MS: u64 = 15;
/// Calls of each cause: what counts is their median, since each of them may have to wait for the CPU.
const CALLS: usize = 15;
/// A phase may differ so much from what was put in.
const BOUND_MS: f64 = 1.0;
/// Busy machines prove nothing about times.
const TRIES: usize = 4;

/// A stand-in, clients whose runtime has one worker, and what is known of their calls.
struct Bench {
    standin: Standin,
    model: LlmClient,
    voice: TtsClient,
    worker: Runtime,
    calls: usize,
    // Ends last: the clients report to it.
    desk: Desk,
    _standins: Runtime,
}

impl Bench {
    fn open() -> Option<Self> {
        let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (standins, worker) = (runtime().expect("a runtime"), runtime().expect("a runtime"));
        let options = Options { names: vec![NAME.to_owned()], ..Options::default() };
        let standin = standins.block_on(Standin::start(options)).expect("a stand-in");
        let desk = Desk::beside(&standin, &[NAME])?;
        let (http, url) = (http(&standin, &[NAME]), url(NAME, standin.addr()));
        let (model, voice) = (desk.client(&http, &url), desk.voice(&http, &url));
        Some(Self { standin, model, voice, worker, calls: 0, desk, _standins: standins })
    }

    /// The attempts of some calls under a plan.
    fn answered(&mut self, plan: Plan) -> Vec<Attempt> {
        self.standin.set_plan(plan);
        let model = self.model.clone();
        (0..CALLS).map(|_| self.worker.block_on(ask(&model))).for_each(drop);
        self.latest()
    }

    /// The same of a voice, whose first chunk is its first content.
    fn spoken(&mut self, plan: Plan) -> Vec<Attempt> {
        self.standin.set_plan(plan);
        let voice = self.voice.clone();
        (0..CALLS).map(|_| self.worker.block_on(speak(&voice))).for_each(drop);
        self.latest()
    }

    /// The attempts of some calls whose answers come while the only worker is blocked, and for how
    /// long each of these then lies there, ms.
    fn stalled(&mut self, plan: Plan) -> (Vec<Attempt>, Vec<f64>) {
        self.standin.set_plan(plan);
        let mut free_ns = Vec::new();
        for _ in 0..CALLS {
            let model = self.model.clone();
            let asked_ns = da_standin::now_ns();
            let call = self.worker.spawn(async move { ask(&model).await });
            let stall = self.worker.spawn(async {
                tokio::time::sleep(Duration::from_millis(STALL_AFTER_MS)).await;
                std::thread::sleep(Duration::from_millis(STALL_MS));
                da_standin::now_ns()
            });
            let freed_ns = self.worker.block_on(stall).expect("no panic");
            self.worker.block_on(call).expect("no panic");
            free_ns.push(freed_ns - asked_ns);
        }
        let attempts = self.latest();
        let lay = attempts.iter().zip(free_ns).map(|(attempt, free_ns)| {
            let arrived_ns = attempt.socket.as_ref().expect("joined").arrivals_ns[0];
            free_ns.saturating_sub(arrived_ns) as f64 / 1e6
        });
        let lay = lay.collect();
        (attempts, lay)
    }

    fn latest(&mut self) -> Vec<Attempt> {
        self.calls += CALLS;
        let calls = self.desk.known(self.calls);
        assert_eq!(calls.len(), self.calls);
        let latest = calls[self.calls - CALLS..].iter();
        let attempts: Vec<_> = latest.map(|call| call.attempts[0].clone()).collect();
        for attempt in &attempts {
            assert_eq!((attempt.join, attempt.reuse), (Join::Joined, Reuse::Fresh), "{attempt:?}");
        }
        attempts
    }
}

/// Each call gets a connection of its own, and an answer that does not outrun its own request.
fn usual() -> Plan {
    Plan { close: true, chunks: Some(2), first_byte_ms: Delay::Fixed(USUAL_MS), ..Plan::default() }
}

/// The phases of the median attempt, ms.
pub fn medians(attempts: &[Attempt]) -> [f64; Phase::ALL.len()] {
    Phase::ALL.map(|phase| {
        let mut all: Vec<_> = attempts.iter().map(|attempt| attempt.phases.ns(phase)).collect();
        all.sort_unstable();
        all[all.len() / 2] as f64 / 1e6
    })
}

/// Prints how each phase differs from what it is without the cause; whether `phase` alone does, by
/// `injected_ms`.
fn row(cause: &str, with: &[f64], without: &[f64], phase: Phase, injected_ms: f64) -> bool {
    let differs = |one: Phase| with[one as usize] - without[one as usize];
    let expected = |one: Phase| if one == phase { injected_ms } else { 0.0 };
    let cells: Vec<_> = Phase::ALL.iter().map(|one| format!("{:>11.2}", differs(*one))).collect();
    println!("{cause:<12}{}", cells.join(""));
    Phase::ALL.into_iter().all(|one| (differs(one) - expected(one)).abs() <= BOUND_MS)
}

fn each_shows_in_its_own_phase(bench: &mut Bench) -> bool {
    let names = Phase::ALL.map(|phase| format!("{:>11}", phase.as_str()));
    println!("{:<12}{}", "ms put in", names.join(""));
    let delay = Delay::Fixed(INJECTED_MS);
    let later = Delay::Fixed(USUAL_MS + INJECTED_MS);
    let model = medians(&bench.answered(usual()));
    let voice = medians(&bench.spoken(usual()));
    row("(a model)", &model, &[0.0; Phase::ALL.len()], Phase::Wait, USUAL_MS);
    row("(a voice)", &voice, &[0.0; Phase::ALL.len()], Phase::Wait, USUAL_MS);
    // The kernel has completed the TCP handshake by then: what is late is the ServerHello.
    let accept = medians(&bench.answered(Plan { accept_ms: delay, ..usual() }));
    let handshake = medians(&bench.answered(Plan { handshake_ms: delay, ..usual() }));
    let first_byte = medians(&bench.answered(Plan { first_byte_ms: later, ..usual() }));
    let chunk_gap = medians(&bench.spoken(Plan { between_chunks_ms: delay, ..usual() }));
    let (stalled, mut lay) = bench.stalled(usual());
    lay.sort_by(f64::total_cmp);
    let lay_ms = lay[CALLS / 2];
    assert!(lay_ms > (STALL_MS - STALL_AFTER_MS) as f64 - USUAL_MS, "the worker was not blocked");
    [
        row("accept", &accept, &model, Phase::Tls, INJECTED_MS),
        row("handshake", &handshake, &model, Phase::Tls, INJECTED_MS),
        row("first byte", &first_byte, &model, Phase::Wait, INJECTED_MS),
        row("chunk gap", &chunk_gap, &voice, Phase::Stream, INJECTED_MS),
        row("stall", &medians(&stalled), &model, Phase::Pickup, lay_ms),
    ]
    .into_iter()
    .all(|exact| exact)
}

#[test]
fn a_delay_shows_in_its_own_phase_and_in_no_other() {
    let Some(mut bench) = Bench::open() else { return };
    let exact = (0..TRIES).any(|_| each_shows_in_its_own_phase(&mut bench));
    assert!(exact, "see the tables above");
}

#[test]
fn phases_are_the_whole_attempt() {
    let Some(mut bench) = Bench::open() else { return };
    let attempts = bench.answered(usual());
    for (call, attempt) in bench.desk.known(bench.calls).iter().zip(&attempts) {
        let call = Arc::as_ref(call);
        assert!(call.duration_ns >= attempt.duration_ns());
        // Between the two clocks nothing happens but their making and dropping.
        assert!(call.back_off_ns() < 1_000_000, "{call:?}");
    }
}
