//! A recording shown again, by a process that may do nothing.

use std::io::Read;
use std::os::unix::process::CommandExt;

use da_testkit::built::copy_for_everyone;
use da_testkit::recording::at_once;
use da_testkit::server::ServerProgram;
use flate2::read::GzDecoder;
use serde_json::Value;

const EXAMPLE: &[u8] = include_bytes!("../../recordings/example.jsonl.gz");
/// A user who owns nothing.
const NOBODY: u32 = 65_534;

/// The entries come at once, but not in one moment: on a busy machine a call's end may be read well before what the
/// kernel saw of it.
const PATIENT: &str = "[calls]\ngrace_seconds = 60\n";

/// The example's text, whose entries come at once.
fn example() -> String {
    let mut text = String::new();
    GzDecoder::new(EXAMPLE).read_to_string(&mut text).expect("gzip");
    at_once(&text)
}

fn replay(recording: &str) -> (ServerProgram, (tempfile::NamedTempFile, tempfile::TempDir)) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, recording).expect("written");
    let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, everyone).expect("permissions");
    let path = file.path().to_str().expect("a path");
    let (program, folder) = copy_for_everyone("da-server").expect("a copy");
    let replay = ServerProgram::start_of(&program, &["replay", path], PATIENT, |command| {
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
    });
    (replay, (file, folder))
}

#[test]
fn every_call_of_the_example_is_joined_with_what_the_kernel_saw() {
    let recording = example();
    let (replay, _file) = replay(&recording);
    let recorded = recording.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let kinds = recorded.filter_map(|line| Some(line["call"]["kind"].as_str()?.to_owned()));
    let kinds: Vec<_> = kinds.collect();
    for kind in ["llm", "tts"] {
        let count = kinds.iter().filter(|one| *one == kind).count();
        assert!(count > 10, "{kinds:?}");
        let joined = "digital_actors_call_join_total{kind=\"KIND\",result=\"joined\"} COUNT";
        replay.exposes(&joined.replace("KIND", kind).replace("COUNT", &count.to_string()));
    }
    let (_, metrics) = replay.get("/metrics");
    let anthropic =
        "digital_actors_socket_exchanges_total{kind=\"llm\",outcome=\"ok\",provider=\"anthropic\"}";
    assert!(metrics.lines().any(|line| line.starts_with(anthropic)), "{metrics}");

    let (status, calls) = replay.get("/api/calls?limit=100");
    let calls: Value = serde_json::from_str(&calls).expect("JSON");
    assert_eq!((status, calls["calls"].as_array().map(Vec::len)), (200, Some(kinds.len())));
    assert_eq!(replay.get("/calls").0, 200);
    assert!(replay.get("/health").1.contains("\"disabled\""), "there is no kernel view");

    replay.signal(libc::SIGTERM);
    assert_eq!(replay.wait().0.code(), Some(0));
}

#[test]
fn entries_of_another_build_are_counted_and_said() {
    let mut lines: Vec<_> = example().lines().map(str::to_owned).collect();
    lines.insert(1, "{\"at_ns\":1,\"event\":\"AAAA\"}".to_owned());
    let (replay, _file) = replay(&lines.join("\n"));
    replay.logged(&["of another build", "\"unreadable\":1"]);
}
