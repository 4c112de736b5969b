//! The configuration file, and the lines of its settings.

use std::path::Path;

use anyhow::{Context, anyhow};
use toml::de::{DeTable, DeValue};

use super::Config;

/// The text of a configuration file.
pub(super) struct ConfigFile {
    name: String,
    text: String,
}

impl ConfigFile {
    /// # Errors
    /// Names the file that can't be read, and why.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("can't read {name}"))?;
        Ok(Self { name, text })
    }

    /// The file's text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Checks that it is TOML, of known keys, with values of the right types.
    ///
    /// # Errors
    /// The first mistake, as `FILE:LINE: reason`.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let Err(error) = toml::from_str::<Config>(&self.text) else { return Ok(()) };
        let reason = error.message().lines().collect::<Vec<_>>().join(", ");
        let place = self.place(error.span().map_or(0, |span| span.start));
        Err(anyhow!("{place}: {reason}"))
    }

    /// `FILE:LINE` of a key (`kernel.ring_bytes`, `endpoint.0.hosts`), or of the nearest thing
    /// around it that is there.
    pub(super) fn locate(&self, key: &str) -> String {
        self.place(self.offset_of(key).unwrap_or(0))
    }

    fn place(&self, offset: usize) -> String {
        let line = self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count();
        format!("{}:{}", self.name, line + 1)
    }

    fn offset_of(&self, key: &str) -> Option<usize> {
        let file = DeTable::parse(&self.text).ok()?;
        let mut parts = key.split('.');
        let (mut offset, mut value) = entry(file.get_ref(), parts.next()?)?;
        for part in parts {
            let inner = match value {
                DeValue::Table(table) => entry(table, part),
                DeValue::Array(all) => part
                    .parse()
                    .ok()
                    .and_then(|index: usize| all.get(index))
                    .map(|element| (element.span().start, element.get_ref())),
                _ => None,
            };
            let Some(inner) = inner else { break };
            (offset, value) = inner;
        }
        Some(offset)
    }
}

/// Where a key of a table stands, and its value.
fn entry<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Option<(usize, &'a DeValue<'i>)> {
    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == key)?;
    Some((name.span().start, value.get_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> ConfigFile {
        ConfigFile { name: "da.toml".to_owned(), text: text.to_owned() }
    }

    fn refusal(text: &str) -> String {
        file(text).check().expect_err("refused").to_string()
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let message = refusal("listen = '127.0.0.1:1'\n\n[metrics]\nlisten_to = '127.0.0.1:1'\n");
        assert!(message.starts_with("da.toml:4: unknown field `listen_to`"), "{message}");
        let message = refusal("[kernel]\nunlisted = 'keep'\n");
        assert!(message.starts_with("da.toml:2: ") && message.contains("`drop`"), "{message}");
        let message = refusal("[kernel]\nring_bytes = \n");
        assert!(message.starts_with("da.toml:2: "), "{message}");
        let message =
            refusal("\n[[endpoint]]\nname = 'x'\nkind = 'llm'\n\n[[endpoint]]\nname = 'y'\n");
        assert!(message.starts_with("da.toml:6: missing field `kind`"), "{message}");
    }

    #[test]
    fn a_key_or_what_is_around_it_has_a_place() {
        let file = file(
            "grace_seconds = 1\nkernel.ring_bytes = 5\n\n[[endpoint]]\nname = 'x'\n\n[[endpoint]]\n\
             name = 'y'\nhosts = [\n  'a',\n]\n",
        );
        for (key, line) in [
            ("grace_seconds", 1),
            ("kernel.ring_bytes", 2),
            ("endpoint.0", 4),
            ("endpoint.0.name", 5),
            ("endpoint.0.hosts", 4),
            ("endpoint.1.hosts", 9),
            ("endpoint.1.hosts.0", 10),
            ("nowhere", 1),
        ] {
            assert_eq!(file.locate(key), format!("da.toml:{line}"), "{key}");
        }
    }
}
