//! Links lead somewhere.

use std::path::{Component, Path, PathBuf};

use crate::page::{all, root};

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    let pages = all();
    let anchors_of =
        |path: &Path| pages.iter().find(|page| page.path == path).map(|page| &page.anchors);
    let mut broken = Vec::new();
    let mut followed = 0;
    for page in &pages {
        for (line, link) in &page.links {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            followed += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.path.parent().unwrap_or(Path::new(""));
            let path = match file {
                "" => page.path.clone(),
                file => plain(&folder.join(file)),
            };
            let leads = root().join(&path).exists()
                && (anchor.is_empty()
                    || anchors_of(&path)
                        .is_some_and(|known| known.iter().any(|one| one == anchor)));
            if !leads {
                broken.push(format!("{}:{line}: {link}", page.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "lead nowhere:\n{}", broken.join("\n"));
    assert!(followed > 50, "only {followed} links were found");
}

/// Without `..` and `.`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}
