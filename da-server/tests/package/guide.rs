//! What docs/DEPLOYMENT.md tells people to type on a host.

/// Everything in which these tests run something.
const RUN_HERE: [&str; 4] = [
    include_str!("installed.rs"),
    include_str!("removal.rs"),
    include_str!("services.sh"),
    include_str!("unpacked.rs"),
];

/// The commands of the parts about hosts, as root would type them: the lines of blocks of `sh`.
fn commands() -> Vec<String> {
    let guide = include_str!("../../../docs/DEPLOYMENT.md");
    let parts =
        guide.split("\n## ").filter(|part| part.starts_with("2 ") || part.starts_with("6 "));
    let blocks = parts.flat_map(|part| part.split("\n```").skip(1).step_by(2));
    // The first line of a block says what it is.
    let lines =
        blocks.filter(|block| block.starts_with("sh")).flat_map(|block| block.lines().skip(1));
    let command = |line: &str| {
        let line = line.split(" #").next().unwrap_or(line).trim();
        line.strip_prefix("sudo ").unwrap_or(line).to_owned()
    };
    lines.map(command).collect()
}

#[test]
fn every_command_for_hosts_is_run_by_these_tests() {
    let commands = commands();
    assert!(commands.len() > 12, "{commands:#?}");
    for command in commands {
        assert!(RUN_HERE.iter().any(|text| text.contains(&command)), "never run here: {command}");
    }
}
