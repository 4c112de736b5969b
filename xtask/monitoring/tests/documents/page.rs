//! A document in Markdown, as far as something in it can be wrong.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// One file.
pub struct Page {
    /// From the repository's top folder.
    pub path: PathBuf,
    /// Where a `#` may lead to.
    pub anchors: Vec<String>,
    /// Where its links and pictures lead, with the line each is in.
    pub links: Vec<(usize, String)>,
    /// Its blocks of code.
    pub blocks: Vec<Block>,
}

/// Code in a page.
pub struct Block {
    /// Where it begins.
    pub line: usize,
    /// What the fence says; `None` without a fence.
    pub language: Option<String>,
    /// The code.
    pub text: String,
}

/// The repository's top folder.
pub fn root() -> &'static Path {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("this package is two folders deep")
}

/// Every document that is kept in the repository.
pub fn all() -> Vec<Page> {
    let mut git = Command::new("git");
    // The folder may be another user's, as where it is mounted into a container.
    git.args(["-c", "safe.directory=*", "ls-files", "-z", "*.md"]);
    let listed = git.current_dir(root()).output().expect("git, with which this tree was made");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let paths = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    let pages: Vec<_> = paths.split_terminator('\0').map(Page::read).collect();
    assert!(pages.len() > 10, "only {} documents were found", pages.len());
    pages
}

impl Page {
    /// The file at `path` below [`root`].
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).expect(path);
        Self::parse(path, &text)
    }

    fn parse(path: &str, text: &str) -> Self {
        let mut page =
            Self { path: path.into(), anchors: Vec::new(), links: Vec::new(), blocks: Vec::new() };
        let mut headings = HashMap::new();
        let mut heading: Option<String> = None;
        let mut block: Option<Block> = None;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = || 1 + text[..range.start].matches('\n').count();
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let before: &mut usize = headings.entry(anchor.clone()).or_default();
                    page.anchors.push(match *before {
                        0 => anchor,
                        number => format!("{anchor}-{number}"),
                    });
                    *before += 1;
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((line(), dest_url.into_string()));
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(info) => Some(info.into_string()),
                        CodeBlockKind::Indented => None,
                    };
                    block = Some(Block { line: line(), language, text: String::new() });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Text(piece) | Event::Code(piece) => {
                    if let Some(block) = &mut block {
                        block.text.push_str(&piece);
                    } else if let Some(heading) = &mut heading {
                        heading.push_str(&piece);
                    }
                }
                _ => {}
            }
        }
        page
    }
}

/// What a heading can be linked to by, as the usual forges make it: letters and digits small, spaces
/// as hyphens, and nothing else but hyphens and underscores.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|&one| one.is_alphanumeric() || " -_".contains(one));
    kept.flat_map(char::to_lowercase).map(|one| if one == ' ' { '-' } else { one }).collect()
}

#[test]
fn headings_links_and_blocks_are_found() {
    let text = "# What `a_b` is, 1-2\n\nSee [it](x.md#y)\nand ![](p.png)\n\n# Twice\n# Twice\n\n\
                ```sh\ntrue\nfalse\n```\n\n    indented\n";
    let page = Page::parse("some.md", text);
    assert_eq!(page.anchors, ["what-a_b-is-1-2", "twice", "twice-1"]);
    assert_eq!(page.links, [(3, "x.md#y".to_owned()), (4, "p.png".to_owned())]);
    let blocks: Vec<_> = page
        .blocks
        .iter()
        .map(|block| (block.line, block.language.as_deref(), block.text.as_str()))
        .collect();
    assert_eq!(blocks, [(9, Some("sh"), "true\nfalse\n"), (14, None, "indented\n")]);
}
