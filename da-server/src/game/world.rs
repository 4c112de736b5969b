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

/// What is kept of a [`World`] between connections. Cooldowns are not: they are over by then.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    variables: BTreeMap<String, f64>,
    presses: BTreeMap<String, u32>,
    cues_given: BTreeSet<String>,
    outcome: Option<Outcome>,
}

/// How a scene ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Won or lost.
    pub result: OutcomeResult,
    /// Which criterion.
    pub id: String,
    /// For the player.
    pub message: String,
}

/// Won or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    /// The player reached what the scene is about.
    Success,
    /// The player can't reach it any more.
    Failure,
}

/// What a press did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pressed {
    /// What the character is told, if it notices.
    pub noticed: Option<String>,
    /// Whether it came in haste and was punished.
    pub hasty: bool,
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
        Self::resume(scene, difficulty, Saved::default())
    }

    /// A scene as it was left. Variables that the scene file has gained since begin at their
    /// initial value; those it has lost are forgotten.
    pub fn resume(scene: Arc<Scene>, difficulty: Difficulty, mut saved: Saved) -> Self {
        let value = |v: &super::scene::Variable| {
            let kept = saved.variables.get(&v.name).copied().unwrap_or(v.initial);
            (v.name.clone(), kept.clamp(v.min, v.max))
        };
        saved.variables = scene.variables.iter().map(value).collect();
        let (rests_until, recent_presses) = Default::default();
        Self { scene, difficulty, saved, rests_until, recent_presses }
    }

    /// The scene itself.
    pub fn scene(&self) -> &Arc<Scene> {
        &self.scene
    }

    /// What to keep for later.
    pub fn saved(&self) -> &Saved {
        &self.saved
    }

    /// Every variable's value.
    pub fn variables(&self) -> &BTreeMap<String, f64> {
        &self.saved.variables
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
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
        Ok(Pressed { noticed: control.noticed.clone(), hasty: self.punish_haste(now) })
    }

    /// The first criterion that holds ends the scene. Losing is checked first: who runs out of
    /// air at the surface has run out of air.
    pub fn end_if_decided(&mut self) -> Option<&Outcome> {
        if !self.is_running() {
            return None;
        }
        let decided = |criteria: &[Criterion], result| {
            let met = criteria.iter().find(|criterion| self.holds(&criterion.condition))?;
            Some(Outcome { result, id: met.id.clone(), message: met.message.clone() })
        };
        let lost = decided(&self.scene.failures, OutcomeResult::Failure);
        self.saved.outcome =
            lost.or_else(|| decided(&self.scene.successes, OutcomeResult::Success));
        self.outcome()
    }

    /// The cues whose conditions hold and that were not given before; each is given once.
    pub fn take_cues(&mut self) -> Vec<Cue> {
        if !self.is_running() {
            return Vec::new();
        }
        let due =
            |cue: &&Cue| !self.saved.cues_given.contains(&cue.id) && self.holds(&cue.condition);
        let cues: Vec<Cue> = self.scene.cues.iter().filter(due).cloned().collect();
        self.saved.cues_given.extend(cues.iter().map(|cue| cue.id.clone()));
        cues
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

    /// Counts a press, and applies the price when it completes a hasty series. A punished series
    /// is over: the next one is counted from nothing.
    fn punish_haste(&mut self, now: Instant) -> bool {
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
mod tests {
    use super::*;
    use crate::game::scene::Scenes;

    fn submarine(difficulty: Difficulty) -> World {
        let scenes = Scenes::load(None).expect("built-in scenes");
        World::new(scenes.get("submarine").expect("submarine").clone(), difficulty)
    }

    fn after(seconds: f64) -> Instant {
        // One moment for all, so that tests can add to it.
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_secs_f64(seconds)
    }

    fn set(world: &mut World, name: &str, value: f64) {
        assert!(world.saved.variables.insert(name.to_owned(), value).is_some(), "{name}");
    }

    #[test]
    fn variables_drift_by_their_rate_and_stay_within_their_bounds() {
        let mut world = submarine(Difficulty::Normal);
        world.tick(Duration::from_secs(4));
        assert_eq!(world.variables()["oxygen"], 99.0);
        assert_eq!(world.variables()["trust"], 40.0, "no rate, no drift");
        world.tick(Duration::from_secs(4000));
        assert_eq!(world.variables()["oxygen"], 0.0);
        assert_eq!(world.variables()["flooding"], 100.0);
    }

    #[test]
    fn a_control_rests_and_is_used_up() {
        let mut world = submarine(Difficulty::Normal);
        set(&mut world, "oxygen", 10.0);
        let pressed = world.press("reserve_air", after(0.0)).expect("ready");
        assert!(pressed.noticed.is_some());
        assert_eq!(world.variables()["oxygen"], 28.0);
        assert_eq!(world.press("reserve_air", after(19.9)), Err(Refusal::Resting));
        assert_eq!(world.variables()["oxygen"], 28.0, "a refused press does nothing");
        for turn in 1..4 {
            world.press("reserve_air", after(f64::from(turn) * 20.0)).expect("ready again");
        }
        assert_eq!(world.press("reserve_air", after(200.0)), Err(Refusal::UsedUp));
        assert_eq!(world.press("torpedo", after(0.0)), Err(Refusal::Unknown));
    }

    #[test]
    fn a_locked_control_opens_with_its_condition() {
        let mut world = submarine(Difficulty::Normal);
        assert_eq!(world.press("ballast", after(0.0)), Err(Refusal::Locked));
        assert!(!world.control_views(after(0.0))["ballast"].ready);
        for _ in 0..5 {
            world.spoken_to();
        }
        assert_eq!(world.variables()["trust"], 60.0);
        world.press("ballast", after(0.0)).expect("unlocked");
        let view = &world.control_views(after(5.0))["ballast"];
        assert!(view.unlocked && !view.ready);
        assert_eq!(view.rests_seconds, 10.0);
    }

    /// Three different controls, so that none of them rests.
    fn three_presses(world: &mut World, apart_seconds: f64) -> Vec<bool> {
        let press = |(index, control): (usize, &str)| {
            let now = after(index as f64 * apart_seconds);
            world.press(control, now).expect("ready").hasty
        };
        ["reserve_air", "bilge_pump", "knock"].into_iter().enumerate().map(press).collect()
    }

    #[test]
    fn three_presses_within_three_seconds_cost_oxygen_and_trust_by_difficulty() {
        for (difficulty, factor) in
            [(Difficulty::Easy, 0.7), (Difficulty::Normal, 1.0), (Difficulty::Hard, 1.3)]
        {
            let mut world = submarine(difficulty);
            assert_eq!(three_presses(&mut world, 1.5), [false, false, true]);
            // Full air can't rise; the pump costs 4, knocking gives 3 of trust.
            assert_eq!(world.variables()["oxygen"], 100.0 - 4.0 - 10.0 * factor);
            assert_eq!(world.variables()["trust"], 40.0 + 3.0 - 5.0 * factor);
        }
    }

    #[test]
    fn slower_presses_cost_nothing() {
        let mut world = submarine(Difficulty::Hard);
        assert_eq!(three_presses(&mut world, 1.6), [false, false, false]);
    }

    #[test]
    fn a_scene_ends_once_and_losing_comes_first() {
        let mut world = submarine(Difficulty::Normal);
        assert_eq!(world.end_if_decided(), None);
        set(&mut world, "depth", 0.0);
        set(&mut world, "oxygen", 0.0);
        assert_eq!(world.end_if_decided().map(|o| o.id.as_str()), Some("no_air"));
        assert_eq!(world.end_if_decided(), None, "it has ended already");
        assert_eq!(world.press("knock", after(0.0)), Err(Refusal::Ended));
        let before = world.variables().clone();
        world.tick(Duration::from_secs(10));
        world.spoken_to();
        assert_eq!(world.variables(), &before);
    }

    #[test]
    fn reaching_the_surface_wins() {
        let mut world = submarine(Difficulty::Normal);
        set(&mut world, "depth", 0.0);
        assert_eq!(world.end_if_decided().map(|o| o.result), Some(OutcomeResult::Success));
    }

    #[test]
    fn a_cue_is_given_once() {
        let mut world = submarine(Difficulty::Normal);
        assert!(world.take_cues().is_empty());
        set(&mut world, "oxygen", 29.0);
        let ids: Vec<_> = world.take_cues().into_iter().map(|cue| cue.id).collect();
        assert_eq!(ids, ["thin_air"]);
        assert!(world.take_cues().is_empty());
    }

    #[test]
    fn a_saved_world_goes_on_where_it_was() {
        let mut world = submarine(Difficulty::Normal);
        world.press("knock", after(0.0)).expect("ready");
        let text = serde_json::to_string(world.saved()).expect("json");
        let saved = serde_json::from_str(&text).expect("json");
        let resumed = World::resume(world.scene().clone(), Difficulty::Normal, saved);
        assert_eq!(resumed.saved(), world.saved());
        assert_eq!(resumed.control_views(after(0.0))["knock"].presses_left, Some(4));
    }

    #[test]
    fn a_scene_that_gained_a_variable_can_be_resumed() {
        let world = submarine(Difficulty::Normal);
        let scene = world.scene().clone();
        let mut saved = world.saved().clone();
        saved.variables.remove("oxygen");
        saved.variables.insert("fuel".to_owned(), 1.0);
        let resumed = World::resume(scene, Difficulty::Normal, saved);
        assert_eq!(resumed.variables()["oxygen"], 100.0);
        assert!(!resumed.variables().contains_key("fuel"));
    }
}
