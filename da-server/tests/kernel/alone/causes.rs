//! Delays put in one by one, each of which must show in its own phase and in no other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use da_server::calls::{Attempt, Join, Phase, Reuse};
use da_server::llm::LlmClient;
use da_server::tts::TtsClient;
use da_standin::{Delay, Plan};
use tokio::runtime::Runtime;

use super::judged::judge;
use crate::calls::desk::{Desk, ask, hear, speak};
use crate::calls::differences::{CALLS, Medians, USUAL_MS, median, usual};
use crate::calls::provider::{Provider, one_worker};
use crate::turns::undisturbed;

const NAME: &str = "causes.calls.test";
/// What is put in.
const INJECTED_MS: f64 = 60.0;
/// How long the client's only worker is blocked, and from when on: when it has sent its request.
const STALL_MS: u64 = 200;
const STALL_AFTER_MS: u64 = 15;

/// A provider, clients whose runtime has one worker, and what is known of their calls.
struct Bench {
    provider: Provider,
    model: LlmClient,
    voice: TtsClient,
    worker: Runtime,
    calls: usize,
    // Ends last: the clients report to it.
    desk: Desk,
}

impl Bench {
    fn open() -> Option<Self> {
        let provider = Provider::start(NAME, Plan::default());
        let desk = provider.desk()?;
        let (model, voice) = (provider.model(&desk), provider.voice(&desk));
        Some(Self { provider, model, voice, worker: one_worker(), calls: 0, desk })
    }

    /// The attempts of some calls to the model under a plan.
    fn answered(&mut self, plan: Plan) -> Vec<Attempt> {
        self.provider.standin.set_plan(plan);
        (0..CALLS).for_each(|_| self.worker.block_on(ask(&self.model)));
        self.latest()
    }

    /// The same of the voice, whose first chunk is its first content.
    fn spoken(&mut self, plan: Plan) -> Vec<Attempt> {
        self.provider.standin.set_plan(plan);
        (0..CALLS).for_each(|_| self.worker.block_on(speak(&self.voice)));
        self.latest()
    }

    /// The same, where whoever hears it holds it up after the first chunk; and for how long, ms.
    fn held_up(&mut self, plan: Plan) -> (Vec<Attempt>, f64) {
        self.provider.standin.set_plan(plan);
        let hold = || async {
            let began = Instant::now();
            tokio::time::sleep(Duration::from_secs_f64(INJECTED_MS / 1e3)).await;
            began.elapsed().as_secs_f64() * 1e3
        };
        let held = |_| self.worker.block_on(hear(&self.voice, hold())).expect("it was spoken");
        let held_ms = median((0..CALLS).map(held).collect());
        (self.latest(), held_ms)
    }

    /// The attempts of some calls whose answers come while the only worker is blocked, and for how
    /// long the median one of these then lies there, ms.
    fn stalled(&mut self, plan: Plan) -> (Vec<Attempt>, f64) {
        self.provider.standin.set_plan(plan);
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
        let lay_ms = median(lay.collect());
        assert!(lay_ms > (STALL_MS - STALL_AFTER_MS) as f64 - USUAL_MS, "it was not blocked");
        (attempts, lay_ms)
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

/// From the first arrival to the last at the socket of the median attempt, ms.
fn arriving_ms(attempts: &[Attempt]) -> f64 {
    let span = attempts.iter().map(|attempt| {
        let socket = attempt.socket.as_ref().expect("joined");
        let last_ns = socket.last_arrival_ns.expect("it was answered");
        (last_ns - socket.arrivals_ns[0]) as f64 / 1e6
    });
    median(span.collect())
}

/// What makes a call slow here.
#[derive(Clone, Copy)]
enum Cause {
    Accept,
    Handshake,
    FirstByte,
    VoiceFirstByte,
    VoiceChunkGap,
    VoiceHeldUp,
    WorkerBlocked,
}

impl Cause {
    const ALL: [Self; 7] = [
        Self::Accept,
        Self::Handshake,
        Self::FirstByte,
        Self::VoiceFirstByte,
        Self::VoiceChunkGap,
        Self::VoiceHeldUp,
        Self::WorkerBlocked,
    ];

    /// Whether it shows in its own phase and in no other, held against calls without it.
    fn shows(self, bench: &mut Bench, model: &Medians, voice: &Medians) -> bool {
        let usual = || usual(Reuse::Fresh);
        let delay = Delay::Fixed(INJECTED_MS);
        let later = Plan { first_byte_ms: Delay::Fixed(USUAL_MS + INJECTED_MS), ..usual() };
        let (name, attempts, without, phase, by_ms) = match self {
            // The kernel has completed the TCP handshake by then: what is late is the ServerHello.
            Self::Accept => {
                let attempts = bench.answered(Plan { accept_ms: delay, ..usual() });
                ("accept", attempts, model, Phase::Tls, INJECTED_MS)
            }
            Self::Handshake => {
                let attempts = bench.answered(Plan { handshake_ms: delay, ..usual() });
                ("handshake", attempts, model, Phase::Tls, INJECTED_MS)
            }
            Self::FirstByte => {
                ("first byte", bench.answered(later), model, Phase::Wait, INJECTED_MS)
            }
            Self::VoiceFirstByte => {
                ("first byte, voice", bench.spoken(later), voice, Phase::Wait, INJECTED_MS)
            }
            Self::VoiceChunkGap => {
                let attempts = bench.spoken(Plan { between_chunks_ms: delay, ..usual() });
                ("chunk gap, voice", attempts, voice, Phase::Stream, INJECTED_MS)
            }
            // The same phase, since the answer is not over: the arrivals say which side it was.
            Self::VoiceHeldUp => {
                let (attempts, held_ms) = bench.held_up(usual());
                ("held up, voice", attempts, voice, Phase::Stream, held_ms)
            }
            Self::WorkerBlocked => {
                let (attempts, lay_ms) = bench.stalled(usual());
                ("worker blocked", attempts, model, Phase::Pickup, lay_ms)
            }
        };
        let exact = Medians::of(&attempts).differ(name, without, &[phase], by_ms);
        let arriving_ms = arriving_ms(&attempts);
        let gap = matches!(self, Self::VoiceChunkGap);
        exact && (arriving_ms > INJECTED_MS / 2.0) == gap
    }
}

#[test]
fn a_delay_shows_in_its_own_phase_and_in_no_other() {
    let _alone = undisturbed();
    let Some(mut bench) = Bench::open() else { return };
    let mut left = Cause::ALL.to_vec();
    judge("causes", || {
        Medians::head("ms put in");
        let model = Medians::of(&bench.answered(usual(Reuse::Fresh)));
        let voice = Medians::of(&bench.spoken(usual(Reuse::Fresh)));
        model.differ("(a model)", &Medians::NONE, &[Phase::Wait], USUAL_MS);
        voice.differ("(a voice)", &Medians::NONE, &[Phase::Wait], USUAL_MS);
        left.retain(|cause| !cause.shows(&mut bench, &model, &voice));
        left.is_empty()
    });
}

#[test]
fn phases_are_the_whole_attempt() {
    let _alone = undisturbed();
    let Some(mut bench) = Bench::open() else { return };
    let attempts = bench.answered(usual(Reuse::Fresh));
    for (call, attempt) in bench.desk.known(bench.calls).iter().zip(&attempts) {
        let call = Arc::as_ref(call);
        assert!(call.duration_ns >= attempt.duration_ns());
    }
}
