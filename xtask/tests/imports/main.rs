//! Imports run one way, as ARCHITECTURE.md says: held against every crate of the workspace.

mod allowed;
mod circles;
mod layers;
mod modules;
mod source;
mod targets;

use std::collections::BTreeSet;
use std::fs;

use allowed::ALLOWED;
use circles::{Siblings, siblings};
use layers::{LAYERS, ROOT, STRANGERS};
use modules::Modules;

#[test]
fn no_modules_import_one_another_in_a_circle() {
    let mut found = String::new();
    for root in targets::roots() {
        for (parent, siblings) in siblings(&targets::read(&root)) {
            let allowed = ALLOWED.iter().filter(|one| one.is_in(&root, &parent));
            let allowed: Vec<_> = allowed.map(|one| (one.from, one.to)).collect();
            for circle in siblings.without(&allowed).circles() {
                found += &format!("\nin {parent} of {root}:\n{circle}");
            }
        }
    }
    assert!(found.is_empty(), "modules import one another in a circle\n{found}");
}

#[test]
fn what_is_allowed_is_needed() {
    let roots: BTreeSet<_> = ALLOWED.iter().map(|one| one.root).collect();
    for root in roots {
        let of_root = siblings(&targets::read(root));
        for one in ALLOWED.iter().filter(|one| one.root == root) {
            let others = ALLOWED.iter().filter(|other| other.is_in(root, one.parent));
            let others = others.map(|other| (other.from, other.to));
            let others: Vec<_> = others.filter(|edge| *edge != (one.from, one.to)).collect();
            let siblings = of_root.get(one.parent);
            let circles = siblings.map(|all| all.without(&others).circles());
            let is_needed = circles.is_some_and(|circles| !circles.is_empty());
            assert!(is_needed, "makes no circle any more, so take it out of the list: {one:?}");
        }
    }
}

#[test]
fn the_servers_modules_import_downwards() {
    let top = siblings(&targets::read(ROOT)).remove("crate").expect("modules");
    let layer = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    let mut wrong = String::new();
    for edge in top.edges.values() {
        let (Some(from), Some(to)) = (layer(&edge.from), layer(&edge.to)) else {
            panic!("layers.rs does not have both of {edge}");
        };
        let knows_a_stranger = STRANGERS.contains(&(edge.from.as_str(), edge.to.as_str()));
        if from >= to || knows_a_stranger {
            wrong += &format!("    {edge}\n");
        }
    }
    assert!(wrong.is_empty(), "against the layers of ARCHITECTURE.md:\n{wrong}");
}

/// The circles among the top modules of a crate of these files.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    let mut all = siblings(&Modules::read(&folder.path().join("lib.rs"), folder.path()));
    let top: Siblings = all.remove("crate").unwrap_or_default();
    top.circles().iter().map(ToString::to_string).collect()
}

#[test]
fn a_circle_is_named_with_the_line_of_each_import() {
    let found = circles_of(&[
        ("lib.rs", "mod a;\nmod b { pub use super::c::C; }\nmod c;"),
        ("a.rs", "//! a\n\nuse crate::{\n    b::C,\n};\nfn a() {}"),
        ("c.rs", "pub struct C;\n\nfn c() { println!(\"{:?}\", super::a::a()); }"),
    ]);
    let [circle] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        circle, "    a uses c: a.rs:4: crate::b::C\n    c uses a: c.rs:3: super::a::a\n",
        "an item is of the module that defines it, and what a macro is given counts"
    );
}

#[test]
fn what_only_tests_import_makes_no_circle() {
    let lib = ("lib.rs", "mod a;\nmod b;");
    let b = ("b.rs", "use super::a::A;\nuse std::fmt;");
    let only_in_tests = "pub struct A;\n#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}";
    assert_eq!(circles_of(&[lib, b, ("a.rs", only_in_tests)]), [""; 0]);
    assert_eq!(circles_of(&[lib, b, ("a.rs", "use super::b as c;\nfn a() { c::b() }")]).len(), 1);
}
