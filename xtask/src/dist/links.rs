//! Links and paths in documents, which lie elsewhere once they are installed: they lead to what is packed as
//! well, and for the rest to the repository.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::tree::Tree;
use super::{REPOSITORY, contents};

/// Mends those of every document in `tree`; `root` is the repository.
pub fn mend(tree: &Tree, root: &Path) -> Result<()> {
    for place in tree.files()?.iter().filter(|file| file.ends_with(".md")) {
        let source = contents::source(place).with_context(|| format!("{place} is of no folder"))?;
        let text = fs::read_to_string(tree.root().join(place))?;
        tree.file(place, 0o644, Page { root, source: &source, place }.mended(&text))?;
    }
    Ok(())
}

/// A document on its way.
struct Page<'a> {
    root: &'a Path,
    /// Where it is in the repository.
    source: &'a str,
    /// Where it is in the tree.
    place: &'a str,
}

impl Page<'_> {
    fn mended(&self, text: &str) -> String {
        let mut in_block = false;
        let lines = text.lines().map(|line| {
            let is_fence = line.trim_start().starts_with("```");
            in_block ^= is_fence;
            let line =
                if in_block && !is_fence { with_places(line) } else { self.with_links(line) };
            line + "\n"
        });
        lines.collect()
    }

    /// A line in which what stands in `](…)` leads where it did.
    fn with_links(&self, line: &str) -> String {
        let mut parts = line.split("](");
        let mut mended = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            mended.push_str("](");
            match part.split_once(')') {
                Some((link, rest)) => mended.push_str(&format!("{}){rest}", self.link(link))),
                None => mended.push_str(part),
            }
        }
        mended
    }

    fn link(&self, link: &str) -> String {
        if link.starts_with('#') || link.contains("://") || link.starts_with("mailto:") {
            return link.to_owned();
        }
        let (file, anchor) = link.find('#').map_or((link, ""), |at| link.split_at(at));
        let path = plain(&format!("{}/{file}", folder(self.source)));
        let to = match contents::place(&path) {
            Some(place) => relative(folder(self.place), &place),
            None if self.root.join(&path).is_dir() => format!("{REPOSITORY}/tree/main/{path}"),
            None => format!("{REPOSITORY}/blob/main/{path}"),
        };
        to + anchor
    }
}

/// A command that names what is installed by where it is then.
fn with_places(line: &str) -> String {
    contents::folders().fold(line.to_owned(), |line, (from, place)| {
        line.replace(&format!("{from}/"), &format!("/{place}/"))
    })
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `path` without `.` and `..`.
fn plain(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The way from a folder to `to`.
fn relative(folder: &str, to: &str) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (folder.split('/').collect(), to.split('/').collect());
    let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = vec![".."; from.len() - shared];
    [&up, &to[shared..]].concat().join("/")
}

#[cfg(test)]
mod tests {
    use pulldown_cmark::{Event, Parser, Tag, TagEnd};

    use super::super::contents::tests::without_the_program;
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn links_and_paths_lead_where_things_are() {
        let page = Page {
            root: Path::new("/nowhere"),
            source: "docs/MONITORING.md",
            place: "usr/share/doc/digital-actors/docs/MONITORING.md",
        };
        for (written, mended) in [
            ("[a](RUNBOOK.md#b), [c](#d)", "[a](RUNBOOK.md#b), [c](#d)"),
            ("![a](images/a.png)](x.md)", "![a](images/a.png)](x.md)"),
            ("[a](../deploy/prometheus)", "[a](../../../digital-actors/prometheus)"),
            ("[a](../CHANGELOG.md)", "[a](../changelog.gz)"),
            ("[a](https://a.example/b) [c", "[a](https://a.example/b) [c"),
            ("promtool deploy/prometheus/a.yml", "promtool deploy/prometheus/a.yml"),
            (
                "```sh\npromtool deploy/prometheus/rules/*.yml\n```",
                "```sh\npromtool /usr/share/digital-actors/prometheus/rules/*.yml\n```",
            ),
        ] {
            assert_eq!(page.mended(written), format!("{mended}\n"));
        }
        let outside = format!("[a]({REPOSITORY}/blob/main/xtask/a.rs#L1)\n");
        assert_eq!(page.mended("[a](../xtask/a.rs#L1)"), outside);
    }

    /// As a reader of Markdown finds them, which knows more of it than this does.
    #[test]
    fn every_link_in_what_is_packed_leads_somewhere() {
        let workspace = Workspace::find().unwrap();
        let root = workspace.root();
        let (_folder, tree) = without_the_program(root);
        mend(&tree, root).unwrap();
        let (mut followed, mut broken) = (0, Vec::new());
        for place in tree.files().unwrap().iter().filter(|file| file.ends_with(".md")) {
            let text = fs::read_to_string(tree.root().join(place)).unwrap();
            for link in links(&text) {
                let file = link.split('#').next().unwrap_or_default();
                let below = |base: &str| file.strip_prefix(&format!("{REPOSITORY}/{base}/main/"));
                let leads = match below("blob").or_else(|| below("tree")) {
                    Some(path) => root.join(path).exists() && contents::place(path).is_none(),
                    None if file.contains("://") || file.is_empty() => continue,
                    None => tree.root().join(folder(place)).join(file).exists(),
                };
                followed += 1;
                if !leads {
                    broken.push(format!("{place}: {link}"));
                }
            }
        }
        assert!(broken.is_empty(), "{}", broken.join("\n"));
        assert!(followed > 150, "{followed} links");
    }

    #[test]
    fn commands_in_what_is_packed_name_what_is_there() {
        let workspace = Workspace::find().unwrap();
        let (_folder, tree) = without_the_program(workspace.root());
        mend(&tree, workspace.root()).unwrap();
        let mut named = 0;
        for place in tree.files().unwrap().iter().filter(|file| file.ends_with(".md")) {
            let text = fs::read_to_string(tree.root().join(place)).unwrap();
            for word in blocks(&text).iter().flat_map(|block| block.split_whitespace()) {
                let known = contents::folders().find(|(from, _)| word.starts_with(from));
                assert!(known.is_none(), "{place}: {word}");
                let Some(path) = word.strip_prefix("/usr/share/digital-actors/") else { continue };
                let path = path.split('*').next().unwrap_or_default();
                named += 1;
                let there = tree.root().join("usr/share/digital-actors").join(path).exists();
                assert!(there, "{place}: {word}");
            }
        }
        assert!(named > 3, "{named} paths");
    }

    fn links(markdown: &str) -> Vec<String> {
        let links = Parser::new(markdown).filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.into_string())
            }
            _ => None,
        });
        links.collect()
    }

    fn blocks(markdown: &str) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut block: Option<String> = None;
        for event in Parser::new(markdown) {
            match event {
                Event::Start(Tag::CodeBlock(_)) => block = Some(String::new()),
                Event::Text(text) => {
                    if let Some(block) = &mut block {
                        block.push_str(&text);
                    }
                }
                Event::End(TagEnd::CodeBlock) => blocks.extend(block.take()),
                _ => {}
            }
        }
        blocks
    }
}
