//! Every scene that can be played: built in, and from the operator's folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use include_dir::{Dir, include_dir};

use super::{Scene, SceneError, check};

static BUILT_IN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/scenes");

/// More scenes than this are refused: each is a value of the `scene` label.
const MAX_SCENES: usize = 64;

/// The scenes by id.
#[derive(Debug, Clone)]
pub struct Scenes(BTreeMap<String, Arc<Scene>>);

impl Scenes {
    /// The built-in scenes, and those in `folder` over them: a file of the same name replaces.
    ///
    /// # Errors
    /// The first file that can't be read or played, with line and reason.
    pub fn load(folder: Option<&Path>) -> Result<Self, SceneError> {
        let mut sources = BTreeMap::new();
        for file in BUILT_IN.files() {
            let text = file.contents_utf8().unwrap_or_default().to_owned();
            let name = file.path().display().to_string();
            sources.insert(stem(file.path()), Source { name, text });
        }
        if let Some(folder) = folder {
            sources.extend(read_folder(folder)?);
        }
        if sources.len() > MAX_SCENES {
            let reason = format!("{} scenes; {MAX_SCENES} is the most", sources.len());
            let file = folder.unwrap_or(Path::new("scenes")).display().to_string();
            return Err(SceneError { file, line: None, reason });
        }
        let checked = sources.into_iter().map(|(id, source)| {
            let scene = check::scene(&id, &source.name, &source.text)?;
            Ok((id, Arc::new(scene)))
        });
        checked.collect::<Result<_, _>>().map(Self)
    }

    /// The scene called `id`. What a player sends becomes a label only by way of this.
    pub fn get(&self, id: &str) -> Option<&Arc<Scene>> {
        self.0.get(id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Scene>> {
        self.0.values()
    }
}

/// A scene file that was read and not yet checked.
struct Source {
    name: String,
    text: String,
}

/// Every `*.toml` in `folder`, by scene id.
fn read_folder(folder: &Path) -> Result<Vec<(String, Source)>, SceneError> {
    let unreadable = |path: &Path, error: std::io::Error| SceneError {
        file: path.display().to_string(),
        line: None,
        reason: format!("can't be read: {error}"),
    };
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    let mut sources = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            sources.push((stem(&path), Source { name: path.display().to_string(), text }));
        }
    }
    Ok(sources)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_file_in_the_folder_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenes");
        let on_disk = read_folder(Path::new(folder)).expect("readable");
        let scenes = Scenes::load(None).expect("all of them can be played");
        assert_eq!(scenes.iter().count(), on_disk.len());
        for (id, _) in on_disk {
            assert!(scenes.get(&id).is_some(), "{id} is not built in: rebuild");
        }
        assert_eq!(scenes.get("welcome").map(|s| s.character_id()), Some("clippy"));
        assert_eq!(scenes.get("submarine").map(|s| s.character_id()), Some("engineer"));
    }

    #[test]
    fn a_file_in_the_operators_folder_adds_or_replaces() {
        let folder = tempfile::tempdir().expect("folder");
        let built_in =
            BUILT_IN.get_file("welcome.toml").and_then(|f| f.contents_utf8()).expect("it");
        fs::write(folder.path().join("attic.toml"), built_in).expect("written");
        let own = built_in.replace("title = \"Welcome\"", "title = \"Own\"");
        fs::write(folder.path().join("welcome.toml"), own).expect("written");
        fs::write(folder.path().join("notes.txt"), "no scene").expect("written");
        let scenes = Scenes::load(Some(folder.path())).expect("loads");
        assert_eq!(scenes.get("welcome").map(|s| s.title.as_str()), Some("Own"));
        assert!(scenes.get("attic").is_some() && scenes.get("submarine").is_some());
        assert!(scenes.get("notes").is_none());
    }

    #[test]
    fn a_broken_file_or_folder_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("broken.toml");
        fs::write(&path, "title = ").expect("written");
        let said = Scenes::load(Some(folder.path())).expect_err("refused").to_string();
        assert!(said.starts_with(&format!("{}:1: ", path.display())), "{said}");
        let said = Scenes::load(Some(Path::new("/nonexistent"))).expect_err("refused").to_string();
        assert!(said.starts_with("/nonexistent: can't be read"), "{said}");
    }
}
