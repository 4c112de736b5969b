//! What the documents tell to type is typed, and their queries are asked.
//!
//! A block of `sh` is run as it stands, in the repository's top folder, while `cargo xtask demo`
//! plays on the usual port and a Prometheus with the shipped rules scrapes it. What can't be run here
//! says in its fence why: `sh ignore: it takes an engine`.

use std::thread;

use crate::page::{Block, all};
use crate::stage::Stage;

/// Begins what a fence says after `sh` where a block is not run; the reason follows.
const IGNORED: &str = "ignore:";

/// What becomes of a block.
#[derive(Debug, PartialEq, Eq)]
enum Todo {
    /// It is typed.
    Type,
    /// It is asked.
    Ask,
    /// It is neither; that it says why is all that can be demanded.
    Leave,
}

/// # Errors
/// If the block does not say what it is.
fn todo(block: &Block) -> Result<Todo, &'static str> {
    let Some(language) = &block.language else {
        return Err("code without a fence: say what it is");
    };
    match language.split_once(' ').unwrap_or((language, "")) {
        ("sh", "") => Ok(Todo::Type),
        ("sh", rest) => match rest.strip_prefix(IGNORED) {
            Some(reason) if !reason.trim().is_empty() => Ok(Todo::Leave),
            _ => Err("a block of sh is run, or says `ignore:` and why not"),
        },
        ("promql", "") => Ok(Todo::Ask),
        ("bash" | "shell" | "console" | "shell-session", _) => Err("call it sh"),
        _ => Ok(Todo::Leave),
    }
}

#[test]
fn what_is_to_be_typed_works() {
    // A network namespace belongs to a thread, and to the programs that it starts.
    thread::Builder::new().spawn(type_everything).expect("a thread").join().expect("see above");
}

fn type_everything() {
    let Some(stage) = Stage::open() else { return };
    let (mut typed, mut asked, mut wrong) = (0, 0, Vec::new());
    for page in all() {
        for block in &page.blocks {
            let result = match todo(block) {
                Ok(Todo::Leave) => continue,
                Ok(Todo::Type) => {
                    typed += 1;
                    stage.run(&block.text)
                }
                Ok(Todo::Ask) => queries(&block.text).try_for_each(|query| {
                    asked += 1;
                    stage.ask(&query)
                }),
                Err(what) => Err(what.to_owned()),
            };
            if let Err(why) = result {
                wrong.push(format!("{}:{}: {why}", page.path.display(), block.line));
            }
        }
    }
    println!("{typed} blocks typed, {asked} queries asked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(typed >= 5 && asked >= 20, "where are the others?");
}

/// The queries of a block: an empty line ends one, and a comment belongs to none.
fn queries(text: &str) -> impl Iterator<Item = String> {
    let without_comments = |query: &str| {
        let lines = query.lines().filter(|line| !line.starts_with('#'));
        lines.collect::<Vec<_>>().join("\n")
    };
    text.split("\n\n").map(without_comments).filter(|query| !query.trim().is_empty())
}

#[test]
fn a_block_is_run_or_says_why_not() {
    let todo = |language: Option<&str>| {
        let language = language.map(str::to_owned);
        todo(&Block { line: 1, language, text: String::new() })
    };
    assert_eq!(todo(Some("sh")), Ok(Todo::Type));
    assert_eq!(todo(Some("sh ignore: it takes an engine")), Ok(Todo::Leave));
    assert_eq!(todo(Some("promql")), Ok(Todo::Ask));
    assert_eq!(todo(Some("toml")), Ok(Todo::Leave));
    for vague in [Some("sh ignore:"), Some("sh ignore"), Some("bash"), None] {
        assert!(todo(vague).is_err(), "{vague:?}");
    }
}

#[test]
fn comments_are_not_asked() {
    let queries: Vec<_> = queries("# one\nup\n\n# two\nsum(\n  up\n)\n\n# none\n").collect();
    assert_eq!(queries, ["up", "sum(\n  up\n)\n"].map(|query| query.trim_end()));
}
