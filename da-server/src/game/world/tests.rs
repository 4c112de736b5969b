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
        world.press(control, now).expect("ready").penalized
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
    assert_eq!(world.end_if_decided().map(|o| o.result), Some(SceneResult::Success));
}

#[test]
fn a_cue_is_given_once() {
    let mut world = submarine(Difficulty::Normal);
    let due = |world: &World| -> Vec<_> { world.due_cues().into_iter().map(|c| c.id).collect() };
    assert!(due(&world).is_empty());
    set(&mut world, "oxygen", 29.0);
    assert_eq!(due(&world), ["thin_air"]);
    assert_eq!(due(&world), ["thin_air"], "it waits until somebody says it");
    world.give_cue("thin_air");
    assert!(due(&world).is_empty());
    world.withdraw_cue("thin_air");
    assert_eq!(due(&world), ["thin_air"], "nothing was said");
    set(&mut world, "oxygen", 100.0);
    assert!(due(&world).is_empty(), "there is nothing to warn of any more");
}

#[test]
fn a_saved_world_goes_on_where_it_was() {
    let mut world = submarine(Difficulty::Normal);
    world.press("knock", after(0.0)).expect("ready");
    let resume =
        |json: &str, now| World::from_json(world.scene().clone(), Difficulty::Normal, json, now);
    let resumed = resume(&world.to_json(after(1.0)), after(1.0)).expect("json");
    assert_eq!(resumed.saved, world.saved);
    assert!(resume("no json", after(0.0)).is_none());
    assert_eq!(resumed.control_views(after(1.0))["knock"].presses_left, Some(4));
}

#[test]
fn coming_back_makes_no_rest_shorter() {
    let mut world = submarine(Difficulty::Normal);
    world.press("bilge_pump", after(0.0)).expect("ready");
    let json = world.to_json(after(2.0));
    let resume = |json: &str, now| {
        World::from_json(world.scene().clone(), Difficulty::Normal, json, now).expect("json")
    };
    let mut resumed = resume(&json, after(100.0));
    assert_eq!(resumed.control_views(after(100.0))["bilge_pump"].rests_seconds, 10.0);
    assert_eq!(resumed.press("bilge_pump", after(109.9)), Err(Refusal::Resting));
    resumed.press("bilge_pump", after(110.0)).expect("it has rested");

    let garbage = r#"{"rests_seconds":{"bilge_pump":1e300,"knock":-1,"torpedo":9}}"#;
    let mut resumed = resume(garbage, after(0.0));
    assert_eq!(resumed.rests_until.len(), 0, "nothing is made of it");
    resumed.press("knock", after(0.0)).expect("ready");
    let long = r#"{"rests_seconds":{"bilge_pump":1000}}"#;
    let views = resume(long, after(0.0)).control_views(after(0.0));
    assert_eq!(views["bilge_pump"].rests_seconds, 12.0, "no longer than it ever rests");
}

#[test]
fn coming_back_does_not_make_haste_cheaper() {
    let mut world = submarine(Difficulty::Normal);
    for (index, control) in ["reserve_air", "bilge_pump"].into_iter().enumerate() {
        assert!(!world.press(control, after(index as f64)).expect("ready").penalized);
    }
    let json = world.to_json(after(1.5));
    let scene = world.scene().clone();
    let mut resumed =
        World::from_json(scene, Difficulty::Normal, &json, after(50.0)).expect("json");
    assert!(resumed.press("knock", after(50.5)).expect("ready").penalized);
}

#[test]
fn a_scene_that_gained_a_variable_can_be_resumed() {
    let world = submarine(Difficulty::Normal);
    let scene = world.scene().clone();
    let mut saved = world.saved.clone();
    saved.variables.remove("oxygen");
    saved.variables.insert("fuel".to_owned(), 1.0);
    let resumed = World::resume(scene, Difficulty::Normal, saved, after(0.0));
    assert_eq!(resumed.variables()["oxygen"], 100.0);
    assert!(!resumed.variables().contains_key("fuel"));
}
