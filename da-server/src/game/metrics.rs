//! What players asked for, what became of it, and how long it took.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};

use super::not_kept::NotKept;
use super::queue::Priority;
use super::scene::{Scene, Scenes};
use super::stage::{Stages, TurnStage};
use crate::metrics::{Registry, RequestStatus, buckets};

/// The game's families. Only loaded scenes have series.
#[derive(Debug, Clone)]
pub struct GameMetrics {
    requests: IntCounterVec,
    first_audio: HistogramVec,
    response_time: HistogramVec,
    outcomes: IntCounterVec,
    turns: Arc<TurnMetrics>,
    queue_wait: [Histogram; Priority::ALL.len()],
    not_kept: [IntCounter; NotKept::ALL.len()],
    underrun_margin: Histogram,
}

/// One scene's series.
#[derive(Debug)]
pub(super) struct SceneMetrics {
    requests: [IntCounter; RequestStatus::ALL.len()],
    first_audio: Histogram,
    response_time: Histogram,
    outcomes: BTreeMap<String, IntCounter>,
    turns: Arc<TurnMetrics>,
}

/// The series of every stage.
#[derive(Debug)]
struct TurnMetrics {
    stage_seconds: [Histogram; TurnStage::ALL.len()],
    interrupted: [IntCounter; TurnStage::ALL.len()],
}

impl GameMetrics {
    /// Registers the families with every scene's series at 0.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: &Registry, scenes: &Scenes) -> prometheus::Result<Self> {
        let queue_wait = histogram(
            registry,
            "queue_wait_seconds",
            "Time from queueing a line of the character to the start of its turn, by priority. \
             Dropped lines are not counted.",
            buckets::QUEUE_WAIT_SECONDS,
            &["priority"],
        )?;
        let not_kept = counter(
            registry,
            "turns_not_kept_total",
            "Turns with an answer that were not stored in the database, by reason.",
            &["reason"],
        )?;
        let metrics = Self {
            not_kept: NotKept::ALL.map(|reason| not_kept.with_label_values(&[reason.as_str()])),
            requests: counter(
                registry,
                "requests_total",
                "Player requests finished: lines, and presses that the character notices.",
                &["scene", "character", "status"],
            )?,
            first_audio: histogram(
                registry,
                "turn_first_audio_seconds",
                "Time from receiving a player's line to writing the first byte of audio to their socket; \
                 also of turns that were interrupted later.",
                buckets::FIRST_AUDIO_SECONDS,
                &["scene", "character"],
            )?,
            response_time: histogram(
                registry,
                "response_time_seconds",
                "Time from receiving a player's message to writing the last byte of text and audio \
                 to their socket; requests that ended in success or error.",
                buckets::RESPONSE_SECONDS,
                &["scene", "character"],
            )?,
            outcomes: counter(
                registry,
                "game_outcomes_total",
                "Scenes that were won or lost, by the criterion of the scene's file.",
                &["scene", "outcome"],
            )?,
            turns: Arc::new(TurnMetrics::register(registry)?),
            queue_wait: Priority::ALL
                .map(|priority| queue_wait.with_label_values(&[priority.as_str()])),
            underrun_margin: histogram(
                registry,
                "tts_underrun_margin_seconds",
                "How far the audio written to the player's socket was ahead of playback, at the \
                 tightest moment of a turn; below 0 the player heard a pause of that length.",
                buckets::MARGIN_SECONDS,
                &[],
            )?
            .with_label_values::<&str>(&[]),
        };
        for scene in scenes.iter() {
            metrics.scene(scene);
        }
        Ok(metrics)
    }

    /// The series of a loaded scene.
    pub(super) fn scene(&self, scene: &Scene) -> Arc<SceneMetrics> {
        let (id, character) = (scene.id.as_str(), scene.character_id());
        let criteria = scene.successes.iter().chain(&scene.failures);
        let outcome = |outcome: &str| self.outcomes.with_label_values(&[id, outcome]);
        Arc::new(SceneMetrics {
            requests: RequestStatus::ALL
                .map(|status| self.requests.with_label_values(&[id, character, status.as_str()])),
            first_audio: self.first_audio.with_label_values(&[id, character]),
            response_time: self.response_time.with_label_values(&[id, character]),
            outcomes: criteria.map(|met| (met.id.clone(), outcome(&met.id))).collect(),
            turns: self.turns.clone(),
        })
    }

    /// The character begins to say something that has waited so long.
    pub(super) fn waited(&self, priority: Priority, waited: Duration) {
        self.queue_wait[priority as usize].observe(waited.as_secs_f64());
    }

    /// A turn is not in the database.
    pub(super) fn not_kept(&self, reason: NotKept) {
        self.not_kept[reason as usize].inc();
    }

    /// A whole utterance was handed over; this is how close it came to a pause, or how long that
    /// was.
    pub(super) fn spoken(&self, worst_margin_seconds: f64) {
        self.underrun_margin.observe(worst_margin_seconds);
    }
}

impl SceneMetrics {
    /// A player's request ended.
    pub(super) fn finished(&self, status: RequestStatus) {
        self.requests[status as usize].inc();
    }

    /// The first audio of an answer was written so long after its request.
    pub(super) fn heard(&self, after: Duration) {
        self.first_audio.observe(after.as_secs_f64());
    }

    /// The last byte of an answer was handed over.
    pub(super) fn responded(&self, stages: &Stages) {
        self.response_time.observe(stages.total().as_secs_f64());
        for (stage, spent) in stages.spent() {
            self.turns.stage_seconds[stage as usize].observe(spent.as_secs_f64());
        }
    }

    /// A request was cancelled in this stage.
    pub(super) fn interrupted(&self, stage: TurnStage) {
        self.turns.interrupted[stage as usize].inc();
    }

    /// The scene was decided by the criterion of this id.
    pub(super) fn decided(&self, outcome: &str) {
        if let Some(counter) = self.outcomes.get(outcome) {
            counter.inc();
        }
    }
}

impl TurnMetrics {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = histogram(
            registry,
            "turn_stage_seconds",
            "Time that the turns in response_time_seconds spent in each stage; the stages sum to the \
             response time. A turn has no sample of a stage that it was never in.",
            buckets::TURN_STAGE_SECONDS,
            &["stage"],
        )?;
        let interrupted = counter(
            registry,
            "turns_interrupted_total",
            "Player requests cancelled, by the stage they were in.",
            &["stage"],
        )?;
        Ok(Self {
            stage_seconds: TurnStage::ALL.map(|stage| seconds.with_label_values(&[stage.as_str()])),
            interrupted: TurnStage::ALL
                .map(|stage| interrupted.with_label_values(&[stage.as_str()])),
        })
    }
}

fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    edges: &[f64],
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    let opts = HistogramOpts::new(name, help).buckets(edges.to_vec());
    registered(registry, HistogramVec::new(opts, labels)?)
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    family: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}
