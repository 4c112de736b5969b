//! What the documents tell people to type on a host.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::machine::Machine;

/// What the fence of a block says that is typed here, and nowhere else.
const TYPED_HERE: &str = "sh ignore: da-server/tests/package types it";

/// The commands of these blocks, as root types them.
fn commands() -> BTreeSet<String> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs"));
    let files = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut commands = BTreeSet::new();
    for page in pages.map(|path| fs::read_to_string(path).expect("read")) {
        let blocks = page.split("\n```").skip(1).step_by(2);
        let typed_here = blocks.filter(|block| block.starts_with(TYPED_HERE));
        // The first line of a block is its fence.
        commands.extend(typed_here.flat_map(|block| block.lines().skip(1)).map(command));
    }
    commands
}

/// Without what explains it, and without what makes a user root.
fn command(line: &str) -> String {
    let line = line.split(" #").next().unwrap_or(line).trim();
    line.strip_prefix("sudo ").unwrap_or(line).to_owned()
}

/// To be asked when everything has been run.
pub fn every_command_for_hosts_was_run(machine: &Machine) {
    let (told, ran) = (commands(), machine.commands());
    assert!(told.len() > 10, "{told:#?}");
    let never: Vec<_> = told.difference(&ran).collect();
    assert!(never.is_empty(), "told, but not run: {never:#?}\nof {ran:#?}");
}
