//! Reads one node at a time and collects what is wrong instead of stopping.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::problem::{Fault, Place, Problem};
use super::tree::{Node, Value};

/// The longest duration, so that adding it to any time cannot overflow.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Collects problems.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) problems: Vec<Problem>,
}

/// A map whose keys are known.
pub(crate) struct Section<'n> {
    key: String,
    place: Place,
    entries: Option<&'n BTreeMap<String, Box<Node>>>,
}

impl<'n> Section<'n> {
    /// The setting of this name; null counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node> {
        let node = self.entries?.get(name)?;
        match node.value {
            Value::Null => None,
            _ => Some(node),
        }
    }

    /// The keys that are written, null or not.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'n str, &'n Node)> + use<'n> {
        self.entries
            .into_iter()
            .flatten()
            .map(|(name, node)| (name.as_str(), &**node))
    }
}

impl Reader {
    /// Reports what is wrong with `node`.
    pub(crate) fn report(&mut self, node: &Node, fault: Fault) {
        self.report_at(node.place.clone(), node.key.clone(), fault);
    }

    pub(crate) fn report_at(&mut self, place: Place, key: String, fault: Fault) {
        self.problems.push(Problem { place, key, fault });
    }

    /// Reports that `section` lacks `name`.
    pub(crate) fn report_missing(&mut self, section: &Section<'_>, name: &str, fault: Fault) {
        let key = super::tree::join(&section.key, name);
        self.report_at(section.place.clone(), key, fault);
    }

    /// Reads `node`, if there is one, with `read`; `None` as well when that fails.
    pub(crate) fn value<'n, T>(
        &mut self,
        node: Option<&'n Node>,
        read: impl FnOnce(&'n Node) -> Result<T, Fault>,
    ) -> Option<T> {
        let node = node?;
        read(node).map_err(|fault| self.report(node, fault)).ok()
    }

    /// A map with any keys; empty when `node` is absent or something else.
    pub(crate) fn map<'n>(&mut self, node: Option<&'n Node>) -> Section<'n> {
        Section {
            key: node.map(|node| node.key.clone()).unwrap_or_default(),
            place: node.map_or(Place::Nowhere, |node| node.place.clone()),
            entries: self.value(node, |node| match &node.value {
                Value::Map(entries) => Ok(entries),
                other => Err(mismatch(
                    "a map",
                    other,
                    "write `key: value` lines under it",
                )),
            }),
        }
    }

    /// A map whose keys are among `known`; others are reported.
    pub(crate) fn section<'n>(&mut self, node: Option<&'n Node>, known: &[&str]) -> Section<'n> {
        let section = self.map(node);
        for (name, node) in section.entries() {
            if !known.contains(&name) {
                self.report(node, unknown("key", name, known));
            }
        }
        section
    }
}

/// What to say of an unknown key or word.
pub(crate) fn unknown(noun: &str, name: &str, known: &[&str]) -> Fault {
    let remedy = match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use one of {}", known.join(", ")),
    };
    Fault::new(format!("unknown {noun}"), remedy)
}

/// The known word that `name` is likely a misspelling of.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let name = plain(name);
    known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&name, &plain(word)), *word))
        .filter(|(distance, word)| distance * 3 <= word.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Something else was expected. The value itself is not shown.
fn mismatch(expected: &str, found: &Value, remedy: &str) -> Fault {
    Fault::new(
        format!("expected {expected}, found {}", found.kind()),
        remedy,
    )
}

/// Text, as it is.
pub(crate) fn text(node: &Node) -> Result<&str, Fault> {
    match (&node.value, &node.place) {
        (Value::Text(text), _) => Ok(text),
        (other @ (Value::Bool(_) | Value::Number(_)), Place::Variable(_)) => Err(mismatch(
            "text",
            other,
            "put double quotes around it, inside the variable",
        )),
        (other @ (Value::Bool(_) | Value::Number(_)), _) => {
            Err(mismatch("text", other, "put it in quotes"))
        }
        (other, _) => Err(mismatch("text", other, "write a single value")),
    }
}

/// A duration such as `1h30m`, from 0 to a year.
pub(crate) fn duration(node: &Node) -> Result<Duration, Fault> {
    const REMEDY: &str = "write a number and a unit (h, m, s or ms), such as `60s` or `1h30m`";
    let text = match &node.value {
        Value::Text(text) | Value::Number(text) => text.trim(),
        other => return Err(mismatch("a duration", other, REMEDY)),
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let remedy = format!("add the unit, such as `{text}s`");
        return Err(Fault::new("a number without a unit", remedy));
    }
    let Ok(duration) = text.parse::<SignedDuration>() else {
        return Err(Fault::new("not a duration", REMEDY));
    };
    match Duration::try_from(duration) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        Ok(_) => Err(Fault::new("longer than a year", "write at most `8760h`")),
        Err(_) => Err(Fault::new("a negative duration", REMEDY)),
    }
}

/// A whole number from 1 to `most`.
pub(crate) fn count(node: &Node, most: u32) -> Result<u32, Fault> {
    let remedy = format!("write a whole number from 1 to {most}");
    match &node.value {
        Value::Number(number) => match number.parse() {
            Ok(count) if (1..=most).contains(&count) => Ok(count),
            _ => Err(Fault::new(format!("{number} is out of range"), remedy)),
        },
        other => Err(mismatch("a number", other, &remedy)),
    }
}

/// `duration` as one would write it: `1h 30m`.
pub(crate) fn show(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(|_| "too long".to_owned(), |d| format!("{d:#}"))
}
