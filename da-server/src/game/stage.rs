//! The stages of a turn: where its time goes.
//!
//! A turn is one sequence of steps, and at each moment it is in exactly one stage: that of the step
//! that it waits for. Every change of stage is one reading of the clock that ends a stage and begins the
//! next, so the stages of a turn are contiguous and sum to its response time to the nanosecond.
//!
//! Up to the first audio at the player's socket one thing waits for the other, and these stages sum to the
//! time that the player waited for a voice. From then on the model, the voice and the player's connection
//! go on at once: what is left is split only by whether the connection held the turn up.

use std::time::{Duration, Instant};

/// What a turn waits for: `turn_stage_seconds{stage}`, `turns_interrupted_total{stage}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnStage {
    /// The session: from the player's message read to the session taking it up.
    Inbox,
    /// Its place: the line before, which may still be winding up, and the pause after it.
    Queue,
    /// The store: what was said before.
    History,
    /// The prompt being made.
    Prompt,
    /// The model's first text, with all attempts and the pauses between them.
    LlmFirstToken,
    /// More text of the model, until there is enough to be spoken.
    LlmFirstSentence,
    /// The voice's first byte of audio, with all attempts and the pauses between them.
    TtsFirstByte,
    /// The player's connection, before the first audio was written to it.
    Delivery,
    /// More text or audio after the first audio was written to the player, or more text where nothing is
    /// spoken.
    Rest,
    /// The player's connection, in the rest of the turn.
    RestDelivery,
}

impl TurnStage {
    /// Every value, in the order of a turn.
    pub(super) const ALL: [Self; 10] = [
        Self::Inbox,
        Self::Queue,
        Self::History,
        Self::Prompt,
        Self::LlmFirstToken,
        Self::LlmFirstSentence,
        Self::TtsFirstByte,
        Self::Delivery,
        Self::Rest,
        Self::RestDelivery,
    ];

    /// The label value.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Queue => "queue",
            Self::History => "history",
            Self::Prompt => "prompt",
            Self::LlmFirstToken => "llm_first_token",
            Self::LlmFirstSentence => "llm_first_sentence",
            Self::TtsFirstByte => "tts_first_byte",
            Self::Delivery => "delivery",
            Self::Rest => "rest",
            Self::RestDelivery => "rest_delivery",
        }
    }
}

/// Times a turn by its stages.
#[derive(Debug)]
pub(super) struct StageTimer {
    received: Instant,
    stage: TurnStage,
    entered: Instant,
    /// `None`: the turn was never in that stage.
    spent: [Option<Duration>; TurnStage::ALL.len()],
}

impl StageTimer {
    /// A turn whose message was read at `received`.
    pub(super) fn start(received: Instant) -> Self {
        Self { received, stage: TurnStage::Inbox, entered: received, spent: Default::default() }
    }

    /// When the turn's message was read.
    pub(super) fn received(&self) -> Instant {
        self.received
    }

    /// The stage that it is in.
    pub(super) fn stage(&self) -> TurnStage {
        self.stage
    }

    /// Ends the stage it is in and begins `stage`, both at `at`.
    pub(super) fn enter(&mut self, stage: TurnStage, at: Instant) {
        self.close(at);
        self.stage = stage;
    }

    /// The turn is over at `at`: what it spent in each stage, in the order of [`TurnStage::ALL`].
    pub(super) fn end(mut self, at: Instant) -> Stages {
        self.close(at);
        Stages(self.spent)
    }

    fn close(&mut self, at: Instant) {
        // A reading that another thread took may be older than the last one.
        let at = at.max(self.entered);
        *self.spent[self.stage as usize].get_or_insert_default() += at - self.entered;
        self.entered = at;
    }
}

/// The stages of a turn that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stages([Option<Duration>; TurnStage::ALL.len()]);

impl Stages {
    /// Those that the turn was in, and for how long.
    pub(super) fn spent(&self) -> impl Iterator<Item = (TurnStage, Duration)> {
        TurnStage::ALL.into_iter().zip(self.0).filter_map(|(stage, spent)| Some((stage, spent?)))
    }

    /// From the message read to the last byte handed over.
    pub(super) fn total(&self) -> Duration {
        self.0.into_iter().flatten().sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_stage_is_listed_once_in_its_place() {
        let names: HashSet<_> = TurnStage::ALL.map(TurnStage::as_str).into_iter().collect();
        assert_eq!(names.len(), TurnStage::ALL.len());
        assert!(
            TurnStage::ALL.into_iter().enumerate().all(|(place, stage)| stage as usize == place)
        );
    }

    #[test]
    fn stages_are_contiguous_and_sum_to_the_whole() {
        let received = Instant::now();
        let at = |ns| received + Duration::from_nanos(ns);
        let mut timer = StageTimer::start(received);
        for (stage, ns) in [
            (TurnStage::Queue, 3),
            (TurnStage::LlmFirstToken, 1_000_000_007),
            (TurnStage::Delivery, 1_000_000_011),
            (TurnStage::LlmFirstSentence, 1_000_000_111),
            (TurnStage::Delivery, 1_500_000_000),
        ] {
            timer.enter(stage, at(ns));
        }
        assert_eq!(timer.stage(), TurnStage::Delivery);
        let stages = timer.end(at(1_500_000_001));
        let spent: Vec<_> =
            stages.spent().map(|(stage, spent)| (stage, spent.as_nanos())).collect();
        assert_eq!(
            spent,
            [
                (TurnStage::Inbox, 3),
                (TurnStage::Queue, 1_000_000_004),
                (TurnStage::LlmFirstToken, 4),
                (TurnStage::LlmFirstSentence, 499_999_889),
                (TurnStage::Delivery, 101),
            ]
        );
        assert_eq!(stages.total(), Duration::from_nanos(1_500_000_001));
    }

    #[test]
    fn an_older_reading_takes_nothing_back() {
        let received = Instant::now();
        let later = received + Duration::from_millis(5);
        let mut timer = StageTimer::start(received);
        timer.enter(TurnStage::Queue, later);
        assert_eq!(timer.end(received).total(), Duration::from_millis(5));
    }
}
