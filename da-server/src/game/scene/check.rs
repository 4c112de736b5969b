//! From a file's text to a scene that can be played, or the line that stands in the way.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::file::{ControlEntry, CriterionEntry, CueEntry, EffectsEntry, SceneFile, VariableEntry};
use crate::game::queue::Priority;

use super::{
    Condition, Control, Criterion, Cue, Effects, RapidAction, Scene, SceneError, Variable,
};

/// Longest id, in bytes: ids become label values.
const MAX_ID_BYTES: usize = 40;
/// No wait in a scene is longer than this, seconds.
const MAX_SECONDS: f64 = 3600.0;

/// Reads and checks the text of `file`, whose scene is called `id`.
pub(super) fn scene(id: &str, file: &str, text: &str) -> Result<Scene, SceneError> {
    let checker = Checker { file, text };
    let read: SceneFile = toml::from_str(text).map_err(|error| SceneError {
        file: file.to_owned(),
        line: error.span().map(|span| checker.line(&span)),
        reason: error.message().to_owned(),
    })?;
    checker.check(id, read)
}

struct Checker<'a> {
    file: &'a str,
    text: &'a str,
}

type Checked<T> = Result<T, SceneError>;

impl Checker<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(span.start);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    fn error<T>(&self, span: Range<usize>, reason: impl Into<String>) -> Checked<T> {
        let line = Some(self.line(&span));
        Err(SceneError { file: self.file.to_owned(), line, reason: reason.into() })
    }

    fn check(&self, id: &str, read: SceneFile) -> Checked<Scene> {
        let whole = 0..0;
        self.id(whole, "the file's name", id)?;
        self.id(read.character.span(), "character.id", &read.character.get_ref().id)?;
        for opening in &read.openings {
            self.seconds(opening, "delay_seconds", opening.get_ref().delay_seconds)?;
        }
        let variables = self.all(read.variables, |entry| self.variable(entry))?;
        self.distinct(variables.iter().map(|(span, variable)| (span, &variable.name)))?;
        let variables: Vec<Variable> =
            variables.into_iter().map(|(_, variable)| variable).collect();

        let known = Names { checker: self, variables: &variables };
        let controls = self.all(read.controls, |entry| known.control(entry))?;
        self.distinct(controls.iter().map(|(span, control)| (span, &control.id)))?;
        let cues = self.all(read.cues, |entry| known.cue(entry))?;
        self.distinct(cues.iter().map(|(span, cue)| (span, &cue.id)))?;
        let successes = self.all(read.successes, |entry| known.criterion(entry))?;
        let failures = self.all(read.failures, |entry| known.criterion(entry))?;
        let criteria = successes.iter().chain(&failures);
        self.distinct(criteria.map(|(span, criterion)| (span, &criterion.id)))?;
        let on_message = known.effects(read.on_message.effects)?;
        let rapid_action = match read.rapid_action {
            None => None,
            Some(entry) => Some(RapidAction {
                count: entry.get_ref().count,
                window: self.seconds(&entry, "window_seconds", entry.get_ref().window_seconds)?,
                effects: known.effects(entry.into_inner().effects)?,
            }),
        };
        Ok(Scene {
            id: id.to_owned(),
            title: read.title,
            description: read.description,
            character: read.character.into_inner(),
            openings: read.openings.into_iter().map(Spanned::into_inner).collect(),
            controls: controls.into_iter().map(|(_, control)| control).collect(),
            cues: cues.into_iter().map(|(_, cue)| cue).collect(),
            successes: successes.into_iter().map(|(_, criterion)| criterion).collect(),
            failures: failures.into_iter().map(|(_, criterion)| criterion).collect(),
            variables,
            on_message,
            rapid_action,
        })
    }

    /// Checks every entry and keeps where it stands.
    fn all<T, U>(
        &self,
        entries: Vec<Spanned<T>>,
        check: impl Fn(Spanned<T>) -> Checked<U>,
    ) -> Checked<Vec<(Range<usize>, U)>> {
        entries.into_iter().map(|entry| Ok((entry.span(), check(entry)?))).collect()
    }

    fn distinct<'b>(
        &self,
        names: impl Iterator<Item = (&'b Range<usize>, &'b String)>,
    ) -> Checked<()> {
        let mut seen = BTreeSet::new();
        for (span, name) in names {
            if !seen.insert(name) {
                return self.error(span.clone(), format!("{name:?} is used twice"));
            }
        }
        Ok(())
    }

    fn id(&self, span: Range<usize>, what: &str, id: &str) -> Checked<()> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if id.is_empty() || id.len() > MAX_ID_BYTES || !id.chars().all(plain) {
            let reason = format!("{what} {id:?}: use 1 to {MAX_ID_BYTES} characters of a-z 0-9 _");
            return self.error(span, reason);
        }
        Ok(())
    }

    fn seconds<T>(&self, at: &Spanned<T>, key: &str, value: f64) -> Checked<Duration> {
        if !(0.0..=MAX_SECONDS).contains(&value) {
            let reason = format!("{key} = {value}: use 0 to {MAX_SECONDS}");
            return self.error(at.span(), reason);
        }
        Ok(Duration::from_secs_f64(value))
    }

    fn variable(&self, entry: Spanned<VariableEntry>) -> Checked<Variable> {
        let span = entry.span();
        let VariableEntry { name, label, unit, initial, min, max, update_rate } =
            entry.into_inner();
        self.id(span.clone(), "name", &name)?;
        let finite = [initial, min, max, update_rate].iter().all(|value| value.is_finite());
        if !(finite && min < max && (min..=max).contains(&initial)) {
            let reason = format!("{name}: min < max and min <= initial <= max must hold");
            return self.error(span, reason);
        }
        Ok(Variable { name, label, unit, initial, min, max, update_rate })
    }
}

/// Checks what refers to variables.
struct Names<'a> {
    checker: &'a Checker<'a>,
    variables: &'a [Variable],
}

impl Names<'_> {
    fn known(&self, span: Range<usize>, name: &str) -> Checked<()> {
        if self.variables.iter().any(|variable| variable.name == name) {
            return Ok(());
        }
        let names: Vec<&str> = self.variables.iter().map(|v| v.name.as_str()).collect();
        let reason = format!("there is no variable {name:?}; there are {}", names.join(", "));
        self.checker.error(span, reason)
    }

    fn condition(&self, text: &Spanned<String>) -> Checked<Condition> {
        let condition = match Condition::parse(text.get_ref()) {
            Ok(condition) => condition,
            Err(error) => return self.checker.error(text.span(), error.to_string()),
        };
        condition.variables().try_for_each(|name| self.known(text.span(), name))?;
        Ok(condition)
    }

    fn effects(&self, entries: EffectsEntry) -> Checked<Effects> {
        let check = |(name, amount): (Spanned<String>, f64)| {
            self.known(name.span(), name.get_ref())?;
            if !amount.is_finite() {
                return self.checker.error(name.span(), "an effect must be a finite number");
            }
            Ok((name.into_inner(), amount))
        };
        entries.into_iter().map(check).collect()
    }

    fn control(&self, entry: Spanned<ControlEntry>) -> Checked<Control> {
        let span = entry.span();
        let cooldown =
            self.checker.seconds(&entry, "cooldown_seconds", entry.get_ref().cooldown_seconds)?;
        let entry = entry.into_inner();
        self.checker.id(span.clone(), "id", &entry.id)?;
        if entry.max_presses == Some(0) {
            return self.checker.error(span, "max_presses = 0: leave the control out instead");
        }
        Ok(Control {
            id: entry.id,
            label: entry.label,
            description: entry.description,
            color: entry.color,
            effects: self.effects(entry.effects)?,
            cooldown,
            max_presses: entry.max_presses,
            enabled_when: entry.enabled_when.map(|text| self.condition(&text)).transpose()?,
            noticed: entry.noticed,
        })
    }

    fn cue(&self, entry: Spanned<CueEntry>) -> Checked<Cue> {
        let span = entry.span();
        let CueEntry { id, condition, direction, priority } = entry.into_inner();
        self.checker.id(span.clone(), "id", &id)?;
        if priority == Priority::Critical {
            let reason = "priority \"critical\" is the player's own; use \"urgent\" at most";
            return self.checker.error(span, reason);
        }
        Ok(Cue { id, condition: self.condition(&condition)?, direction, priority })
    }

    fn criterion(&self, entry: Spanned<CriterionEntry>) -> Checked<Criterion> {
        let span = entry.span();
        let CriterionEntry { id, condition, message } = entry.into_inner();
        self.checker.id(span, "id", &id)?;
        Ok(Criterion { id, condition: self.condition(&condition)?, message })
    }
}

#[cfg(test)]
mod tests;
