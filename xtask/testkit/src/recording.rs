//! Recordings of `da-server --record`.

use serde_json::Value;

/// The same recording with all of its entries written at the time of the last one, so that a replay shows
/// them at once.
pub fn at_once(recording: &str) -> String {
    let lines = recording.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut lines: Vec<_> = lines.collect();
    let last_ns = lines.last().expect("an entry")["at_ns"].clone();
    lines.iter_mut().for_each(|line| line["at_ns"] = last_ns.clone());
    lines.iter().map(|line| format!("{line}\n")).collect()
}
