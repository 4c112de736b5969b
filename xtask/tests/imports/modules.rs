//! The modules of one crate, and which of them a path leads to.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;

use crate::source::{Child, Source};

/// As many imports are followed to where an item is defined.
const IMPORTS_FOLLOWED: usize = 16;

/// The place of a module in [`Modules::all`].
pub type Id = usize;

pub struct Module {
    pub name: String,
    pub file: PathBuf,
    pub parent: Option<Id>,
    pub source: Source,
    children: HashMap<String, Id>,
}

/// A crate, whose root is the first.
pub struct Modules {
    pub all: Vec<Module>,
}

impl Modules {
    /// Reads a crate from its root's file. Its files are called by their paths from `top`.
    pub fn read(root: &Path, top: &Path) -> Self {
        let mut modules = Self { all: Vec::new() };
        let folder = root.parent().expect("a folder");
        modules.add("crate", None, root, folder, tokens(root));
        for module in &mut modules.all {
            if let Ok(file) = module.file.strip_prefix(top) {
                module.file = file.to_owned();
            }
        }
        modules
    }

    /// Adds a module, which is in `file` and has the files of its children in `folder`.
    fn add(
        &mut self,
        name: &str,
        parent: Option<Id>,
        file: &Path,
        folder: &Path,
        tokens: TokenStream,
    ) -> Id {
        let id = self.all.len();
        let mut source = Source::read(tokens);
        let children = std::mem::take(&mut source.children);
        let (name, file) = (name.to_owned(), file.to_owned());
        self.all.push(Module {
            name,
            file: file.clone(),
            parent,
            source,
            children: HashMap::new(),
        });
        for child in children {
            let added = self.add_child(id, &file, folder, &child);
            self.all[id].children.insert(child.name, added);
        }
        id
    }

    fn add_child(&mut self, parent: Id, file: &Path, folder: &Path, child: &Child) -> Id {
        let name = &child.name;
        let own_folder = folder.join(name);
        if let Some(tokens) = &child.inline {
            return self.add(name, Some(parent), file, &own_folder, tokens.clone());
        }
        let beside = file.parent().expect("a folder");
        let path = match &child.path {
            Some(path) => beside.join(path),
            None => Some(folder.join(format!("{name}.rs")))
                .filter(|path| path.exists())
                .unwrap_or_else(|| own_folder.join("mod.rs")),
        };
        self.add(name, Some(parent), &path, &own_folder, tokens(&path))
    }

    /// The module that defines what `path` names in `module`; `None` if that is another crate's.
    pub fn lead(&self, module: Id, path: &[String]) -> Option<Id> {
        Some(self.follow(module, path, IMPORTS_FOLLOWED)?.module())
    }

    fn follow(&self, module: Id, path: &[String], imports: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let mut target = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(module),
            "super" => Target::Module(self.all[module].parent?),
            name => self.find(module, name, imports)?,
        };
        for name in rest {
            target = match (target, name.as_str()) {
                (Target::Module(at), "super") => Target::Module(self.all[at].parent?),
                // What it does not define, a macro does.
                (Target::Module(at), name) => {
                    self.find(at, name, imports).unwrap_or(Target::Item(at))
                }
                (item @ Target::Item(_), _) => item,
            };
        }
        Some(target)
    }

    /// What `name` is in `module`.
    fn find(&self, module: Id, name: &str, imports: usize) -> Option<Target> {
        let imports = imports.checked_sub(1)?;
        let Module { source, children, .. } = &self.all[module];
        if let Some(child) = children.get(name) {
            return Some(Target::Module(*child));
        }
        if source.defined.iter().any(|defined| defined == name) {
            return Some(Target::Item(module));
        }
        let mut named = source.imports.iter().filter(|import| import.name == name);
        if let Some(import) = named.next() {
            // `use name` is another crate's, where nothing here has that name.
            let is_itself = import.path.segments == [name];
            return if is_itself {
                None
            } else {
                self.follow(module, &import.path.segments, imports)
            };
        }
        let of_all = source.imports.iter().filter(|import| import.name == "*");
        let mut globs =
            of_all.filter_map(|import| self.follow(module, &import.path.segments, imports));
        globs.find_map(|glob| self.find(glob.module(), name, imports))
    }

    /// The module and those that it is in, from the root to it.
    pub fn ancestry(&self, module: Id) -> Vec<Id> {
        let mut line: Vec<Id> =
            std::iter::successors(Some(module), |id| self.all[*id].parent).collect();
        line.reverse();
        line
    }
}

/// What a path names.
#[derive(Debug, Clone, Copy)]
enum Target {
    Module(Id),
    /// Something that this module defines.
    Item(Id),
}

impl Target {
    fn module(self) -> Id {
        match self {
            Self::Module(id) | Self::Item(id) => id,
        }
    }
}

fn tokens(file: &Path) -> TokenStream {
    let text = fs::read_to_string(file);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
