//! The state of a scene: what variables stand at, what was pressed, how it ended. Rules only: no
//! clock, no I/O.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::scene::{Condition, Control, Criterion, Cue, Difficulty, Effects, Scene};

/// One player's scene.
#[derive(Debug, Clone)]
pub struct World {
    scene: Arc<Scene>,
    difficulty: Difficulty,
    saved: Saved,
    rests_until: BTreeMap<String, Instant>,
    recent_presses: VecDeque<Instant>,
}

/// What is kept of a [`World`] between connections. No time passes for it while nobody plays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Saved {
    variables: BTreeMap<String, f64>,
    presses: BTreeMap<String, u32>,
    cues_given: BTreeSet<String>,
    outcome: Option<SceneOutcome>,
    /// Of controls that rest: how long they still do.
    rests_seconds: BTreeMap<String, f64>,
    /// Of presses that count for haste: how long ago they were.
    pressed_seconds_ago: Vec<f64>,
}

/// How a scene ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneOutcome {
    /// Won or lost.
    pub result: SceneResult,
    /// Which criterion.
    pub id: String,
    /// For the player.
    pub message: String,
}

/// Won or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SceneResult {
    /// The player reached what the scene is about.
    Success,
    /// The player can't reach it any more.
    Failure,
}

/// The result of a press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pressed {
    /// What the character is told, if it notices.
    pub noticed: Option<String>,
    /// Whether it completed a series of hasty presses, and was penalized.
    pub penalized: bool,
}

/// Why a press did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such control in this scene.
    Unknown,
    /// It rests after the last press.
    Resting,
    /// It was pressed as often as it can be.
    UsedUp,
    /// Its condition does not hold.
    Locked,
    /// The scene has ended.
    Ended,
}

/// What the player sees of a control.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ControlView {
    /// Whether a press would do something now.
    pub ready: bool,
    /// Whether its condition holds.
    pub unlocked: bool,
    /// Until it has rested, seconds.
    pub rests_seconds: f64,
    /// Presses left; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presses_left: Option<u32>,
}

impl World {
    /// A scene at its beginning.
    pub fn new(scene: Arc<Scene>, difficulty: Difficulty) -> Self {
        Self::resume(scene, difficulty, Saved::default(), Instant::now())
    }

    /// A scene as it was left. Variables that the scene file has gained since begin at their
    /// initial value; those it has lost are forgotten.
    fn resume(scene: Arc<Scene>, difficulty: Difficulty, mut saved: Saved, now: Instant) -> Self {
        let value = |v: &super::scene::Variable| {
            let kept = saved.variables.get(&v.name).copied().unwrap_or(v.initial);
            (v.name.clone(), kept.clamp(v.min, v.max))
        };
        saved.variables = scene.variables.iter().map(value).collect();
        let rests_until = scene.controls.iter().filter_map(|control| {
            let seconds = saved.rests_seconds.get(&control.id)?;
            // What is kept may be of another version of the scene.
            let rest = Duration::try_from_secs_f64(*seconds).ok()?.min(control.cooldown);
            Some((control.id.clone(), now + rest))
        });
        let rests_until = rests_until.collect();
        let presses = std::mem::take(&mut saved.pressed_seconds_ago).into_iter();
        let recent_presses = presses
            .filter_map(|ago| now.checked_sub(Duration::try_from_secs_f64(ago).ok()?))
            .collect();
        saved.rests_seconds.clear();
        Self { scene, difficulty, saved, rests_until, recent_presses }
    }

    /// The scene itself.
    pub fn scene(&self) -> &Arc<Scene> {
        &self.scene
    }

    /// How much haste costs in it.
    pub fn difficulty(&self) -> Difficulty {
        self.difficulty
    }

    /// What to keep for later, as it is `now`.
    pub fn to_json(&self, now: Instant) -> String {
        let mut saved = self.saved.clone();
        let rests = self.rests_until.iter().map(|(control, until)| {
            (control.clone(), until.saturating_duration_since(now).as_secs_f64())
        });
        saved.rests_seconds = rests.filter(|(_, seconds)| *seconds > 0.0).collect();
        let presses = self.recent_presses.iter();
        saved.pressed_seconds_ago =
            presses.map(|press| now.saturating_duration_since(*press).as_secs_f64()).collect();
        // Names and finite numbers: this can't fail.
        serde_json::to_string(&saved).unwrap_or_default()
    }

    /// A scene as [`Self::to_json`] kept it, which goes on `now`; `None` if that is no such thing.
    pub fn from_json(
        scene: Arc<Scene>,
        difficulty: Difficulty,
        json: &str,
        now: Instant,
    ) -> Option<Self> {
        let saved = serde_json::from_str(json).ok()?;
        Some(Self::resume(scene, difficulty, saved, now))
    }

    /// Every variable's value.
    pub fn variables(&self) -> &BTreeMap<String, f64> {
        &self.saved.variables
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<&SceneOutcome> {
        self.saved.outcome.as_ref()
    }

    /// Whether time changes anything.
    pub fn is_running(&self) -> bool {
        self.outcome().is_none()
    }

    /// Time passes: every variable drifts by its rate.
    pub fn tick(&mut self, passed: Duration) {
        if !self.is_running() {
            return;
        }
        let drifts = self.scene.variables.iter().map(|v| (v.name.clone(), v.update_rate));
        let drift: Effects = drifts.filter(|(_, rate)| *rate != 0.0).collect();
        self.apply(&drift, passed.as_secs_f64());
    }

    /// The player said something.
    pub fn spoken_to(&mut self) {
        if self.is_running() {
            self.apply(&self.scene.on_message.clone(), 1.0);
        }
    }

    /// The player presses a control.
    ///
    /// # Errors
    /// Why it does nothing.
    pub fn press(&mut self, id: &str, now: Instant) -> Result<Pressed, Refusal> {
        let scene = self.scene.clone();
        let control = scene.controls.iter().find(|c| c.id == id).ok_or(Refusal::Unknown)?;
        self.refusal(control, now).map_or(Ok(()), Err)?;
        *self.saved.presses.entry(control.id.clone()).or_default() += 1;
        self.rests_until.insert(control.id.clone(), now + control.cooldown);
        self.apply(&control.effects, 1.0);
        Ok(Pressed { noticed: control.noticed.clone(), penalized: self.penalize_haste(now) })
    }

    /// The first criterion that holds ends the scene. Losing is checked first: who runs out of
    /// air at the surface has run out of air.
    pub fn end_if_decided(&mut self) -> Option<&SceneOutcome> {
        if !self.is_running() {
            return None;
        }
        let decided = |criteria: &[Criterion], result| {
            let met = criteria.iter().find(|criterion| self.holds(&criterion.condition))?;
            Some(SceneOutcome { result, id: met.id.clone(), message: met.message.clone() })
        };
        let lost = decided(&self.scene.failures, SceneResult::Failure);
        self.saved.outcome = lost.or_else(|| decided(&self.scene.successes, SceneResult::Success));
        self.outcome()
    }

    /// The cues whose conditions hold and that were not given yet.
    pub fn due_cues(&self) -> Vec<Cue> {
        if !self.is_running() {
            return Vec::new();
        }
        let due =
            |cue: &&Cue| !self.saved.cues_given.contains(&cue.id) && self.holds(&cue.condition);
        self.scene.cues.iter().filter(due).cloned().collect()
    }

    /// The character begins to say what this cue asks for, which is given once.
    pub fn give_cue(&mut self, id: &str) {
        self.saved.cues_given.insert(id.to_owned());
    }

    /// Nothing was said of what this cue asks for, so it is due again.
    pub fn withdraw_cue(&mut self, id: &str) {
        self.saved.cues_given.remove(id);
    }

    /// What the player sees of every control.
    pub fn control_views(&self, now: Instant) -> BTreeMap<String, ControlView> {
        let view = |control: &Control| {
            let rests = self.rest(control, now).as_secs_f64();
            let view = ControlView {
                ready: self.refusal(control, now).is_none(),
                unlocked: self.is_unlocked(control),
                rests_seconds: (rests * 10.0).ceil() / 10.0,
                presses_left: control.max_presses.map(|max| max - self.presses(control).min(max)),
            };
            (control.id.clone(), view)
        };
        self.scene.controls.iter().map(view).collect()
    }

    fn refusal(&self, control: &Control, now: Instant) -> Option<Refusal> {
        if !self.is_running() {
            Some(Refusal::Ended)
        } else if control.max_presses.is_some_and(|max| self.presses(control) >= max) {
            Some(Refusal::UsedUp)
        } else if !self.is_unlocked(control) {
            Some(Refusal::Locked)
        } else if self.rest(control, now) > Duration::ZERO {
            Some(Refusal::Resting)
        } else {
            None
        }
    }

    fn presses(&self, control: &Control) -> u32 {
        self.saved.presses.get(&control.id).copied().unwrap_or(0)
    }

    fn rest(&self, control: &Control, now: Instant) -> Duration {
        let until = self.rests_until.get(&control.id);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    fn is_unlocked(&self, control: &Control) -> bool {
        control.enabled_when.as_ref().is_none_or(|condition| self.holds(condition))
    }

    fn holds(&self, condition: &Condition) -> bool {
        condition.holds(|name| self.saved.variables.get(name).copied())
    }

    fn apply(&mut self, effects: &Effects, factor: f64) {
        for variable in &self.scene.variables {
            let Some(amount) = effects.get(&variable.name) else { continue };
            if let Some(value) = self.saved.variables.get_mut(&variable.name) {
                *value = (*value + amount * factor).clamp(variable.min, variable.max);
            }
        }
    }

    /// Counts a press, and applies the penalty when it completes a series of hasty presses. Then counting
    /// begins anew.
    fn penalize_haste(&mut self, now: Instant) -> bool {
        let Some(rule) = self.scene.rapid_action.clone() else { return false };
        self.recent_presses.push_back(now);
        self.recent_presses.retain(|press| now.duration_since(*press) <= rule.window);
        if self.recent_presses.len() < rule.count {
            return false;
        }
        self.recent_presses.clear();
        self.apply(&rule.effects, self.difficulty.penalty_factor());
        true
    }
}

#[cfg(test)]
mod tests;
