//! The scenes of these tests.

use std::collections::BTreeMap;

use tempfile::TempDir;

/// Scenes whose characters speak only when spoken to, and whose world moves only when told to.
pub fn test_scenes(folder: &TempDir) -> std::path::PathBuf {
    let scenes = folder.path().join("scenes");
    std::fs::create_dir(&scenes).expect("made");
    for (id, text) in BTreeMap::from([("quiet", QUIET), ("clock", CLOCK)]) {
        std::fs::write(scenes.join(format!("{id}.toml")), text).expect("written");
    }
    scenes
}

const QUIET: &str = r#"
title = "Quiet"
description = "Nobody speaks first."
[character]
id = "listener"
name = "Lis"
description = "Listens."
back_story = "None."
instructions = "Answer."
emotion_style = "calm"
voice = "voice-of-the-file"
"#;

const CLOCK: &str = r#"
title = "Clock"
description = "Time passes here."
[character]
id = "keeper"
name = "Kee"
description = "Keeps time."
back_story = "None."
instructions = "Answer."
emotion_style = "calm"
voice = "v"
[[variable]]
name = "sand"
label = "Sand"
initial = 1000
min = 0
max = 1000
update_rate = -10
[[variable]]
name = "light"
label = "Light"
initial = 0
min = 0
max = 10
[[control]]
id = "lamp"
label = "Lamp"
description = "Light, unnoticed."
effects = { light = 1 }
cooldown_seconds = 60
[[control]]
id = "bell"
label = "Bell"
description = "Noticed."
noticed = "A bell rings."
[[control]]
id = "end"
label = "End"
description = "Ends it."
effects = { light = 10 }
[rapid_action]
count = 3
window_seconds = 3
effects = { sand = -500 }
[[success]]
id = "bright"
condition = "light >= 10"
message = "There was light."
"#;
