use super::*;

const GOOD: &str = r#"title = "T"
description = "D"
[character]
id = "c"
name = "C"
description = "D"
back_story = "B"
instructions = "I"
emotion_style = "E"
voice = "V"
[[variable]]
name = "air"
label = "Air"
initial = 5
min = 0
max = 10
"#;

fn refusal(more: &str) -> (Option<usize>, String) {
    let text = format!("{GOOD}{more}");
    let error = scene("s", "s.toml", &text).expect_err(more);
    assert_eq!(error.file, "s.toml");
    (error.line, error.reason)
}

#[test]
fn a_missing_rate_means_none() {
    let scene = scene("s", "s.toml", GOOD).expect("good");
    assert_eq!(scene.variables[0].update_rate, 0.0);
}

#[test]
fn a_mistake_is_reported_with_its_line() {
    for (more, line, reason) in [
        (
            "[[failure]]\nid = 'f'\ncondition = 'fuel <= 0'\nmessage = 'm'\n",
            19,
            "no variable \"fuel\"; there are air",
        ),
        (
            "[[failure]]\nid = 'f'\ncondition = 'air is 0'\nmessage = 'm'\n",
            19,
            "not a valid condition",
        ),
        ("[on_message]\neffects = { fuel = 1 }\n", 18, "no variable \"fuel\""),
        (
            "[[variable]]\nname = 'air'\nlabel = 'A'\ninitial = 1\nmin = 0\nmax = 2\n",
            17,
            "used twice",
        ),
        (
            "[[variable]]\nname = 'x'\nlabel = 'A'\ninitial = 3\nmin = 0\nmax = 2\n",
            17,
            "initial <= max",
        ),
        (
            "[[variable]]\nname = 'A-b'\nlabel = 'A'\ninitial = 1\nmin = 0\nmax = 2\n",
            17,
            "a-z 0-9 _",
        ),
        (
            "[[control]]\nid = 'k'\nlabel = 'K'\ndescription = 'd'\ncooldown_seconds = -1\n",
            17,
            "cooldown_seconds",
        ),
        (
            "[[cue]]\nid = 'k'\ncondition = 'air < 1'\ndirection = 'd'\npriority = 'critical'\n",
            17,
            "critical",
        ),
        ("[[control]]\nid = 'k'\nlable = 'K'\ndescription = 'd'\n", 19, "unknown field `lable`"),
        ("[[opening]]\ntext = 'x\n", 18, ""),
    ] {
        let (found, said) = refusal(more);
        assert_eq!(found, Some(line), "{more}: {said}");
        assert!(said.contains(reason), "{more}: {said}");
    }
}

#[test]
fn an_id_that_would_be_a_bad_label_is_refused() {
    for id in ["", "Uranium Mine", "a-b", &"x".repeat(41)] {
        assert!(scene(id, "s.toml", GOOD).is_err(), "{id:?}");
    }
}
