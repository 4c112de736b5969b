//! In which direction the server's top modules import one another.

/// The file of its library's root.
pub const ROOT: &str = "da-server/src/lib.rs";

/// Each layer may use those below it, and nothing of its own.
pub const LAYERS: &[&[&str]] = &[
    // What `main` calls.
    &["replay"],
    &["check", "collector", "health", "manual", "reload", "shutdown", "telemetry"],
    &["cli", "http"],
    &["app", "listeners", "terminal"],
    &["config"],
    &["game"],
    &["calls", "llm", "store", "tts"],
    &["kernel", "provider"],
    &["metrics", "recording", "secret_file", "token_bucket"],
    &["clock"],
];

/// The kernel view and the game do not know each other, and what they are joined by is above both.
pub const STRANGERS: &[(&str, &str)] = &[
    ("game", "calls"),
    ("game", "kernel"),
    ("llm", "kernel"),
    ("store", "kernel"),
    ("store", "provider"),
    ("tts", "kernel"),
];
