//! Reads one node at a time and collects what is wrong instead of stopping.

use std::borrow::Borrow;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::{Spacing, SpanPrinter};

use super::problem::{Fault, Problem, SourceLocation};
use super::tree::{Node, Tree, Value};
use crate::system::spelling::likely_meant;

/// The longest duration, so that adding it to any time cannot overflow.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Collects problems.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) problems: Vec<Problem>,
    /// Whether the files and variables that accounts depend on are tried too.
    pub(super) is_strict: bool,
    /// What is allowed but likely not meant.
    pub(super) warnings: Vec<Problem>,
}

/// A map, maybe one whose keys are known; empty where there is none.
pub(crate) struct Section<'n>(Node<'n>);

impl<'n> Section<'n> {
    /// The setting of this name; null counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<Node<'n>> {
        let entries = self.map();
        let at = entries.binary_search_by(|(key, _)| key.as_str().cmp(name));
        let (_, tree) = entries.get(at.ok()?)?;
        (!matches!(tree.value, Value::Null)).then(|| self.0.part(name, tree))
    }

    /// The map itself.
    pub(crate) fn node(&self) -> &Node<'n> {
        &self.0
    }

    /// The keys that are written, null or not.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'n str, Node<'n>)> {
        let entries = self.map().iter();
        entries.map(|(name, tree)| (name.as_str(), self.0.part(name, tree)))
    }

    fn map(&self) -> &'n [(String, Tree)] {
        match self.0.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }
}

impl Reader {
    /// Reports what is wrong with `node`.
    pub(crate) fn report(&mut self, node: &Node<'_>, fault: Fault) {
        self.report_at(node.location.clone(), node.key.clone(), fault);
    }

    pub(crate) fn report_at(&mut self, location: SourceLocation, key: String, fault: Fault) {
        self.problems.push(Problem::new(location, key, fault));
    }

    /// Reports that `section` lacks `name`, if it is a map: else that was reported.
    pub(crate) fn report_missing(&mut self, section: &Section<'_>, name: &str, fault: Fault) {
        let Section(node) = section;
        if matches!(node.value, Value::Map(_)) {
            let key = super::tree::join(&node.key, name);
            self.report_at(node.location.clone(), key, fault);
        }
    }

    /// Reads the setting `name` of `section`, which must be there.
    pub(crate) fn required<'n, T>(
        &mut self,
        section: &Section<'n>,
        name: &str,
        read: impl FnOnce(&Node<'n>) -> Result<T, Fault>,
    ) -> Option<T> {
        let node = section.get(name);
        if node.is_none() {
            self.report_missing(section, name, Fault::new("missing", "add the key"));
        }
        self.value(node, read)
    }

    /// Tries what the account of `node` depends on outside the configuration: files,
    /// variables. Their faults are problems for a check only: a process that starts or reloads
    /// leaves the account to fail for as long as they last, and the others go on.
    pub(super) fn check_external<T>(
        &mut self,
        node: &Node<'_>,
        attempt: impl FnOnce() -> Result<T, Fault>,
    ) -> Option<T> {
        if !self.is_strict {
            return None;
        }
        attempt().map_err(|fault| self.report(node, fault)).ok()
    }

    /// Notes what is allowed but likely not meant.
    pub(super) fn warn(&mut self, node: &Node<'_>, fault: Fault) {
        let (location, key) = (node.location.clone(), node.key.clone());
        self.warnings.push(Problem::new(location, key, fault));
    }

    /// Reads `node`, if there is one, with `read`; `None` as well when that fails.
    pub(crate) fn value<'n, N: Borrow<Node<'n>>, T>(
        &mut self,
        node: Option<N>,
        read: impl FnOnce(&Node<'n>) -> Result<T, Fault>,
    ) -> Option<T> {
        let node = node?;
        let node = node.borrow();
        read(node).map_err(|fault| self.report(node, fault)).ok()
    }

    /// A map with any keys; empty when `node` is absent or something else.
    pub(crate) fn map<'n, N: Borrow<Node<'n>>>(&mut self, node: Option<N>) -> Section<'n> {
        let Some(node) = node else {
            return Section(Node::absent());
        };
        let node = node.borrow();
        if !matches!(node.value, Value::Map(_)) {
            let remedy = "write `key: value` lines under it";
            self.report(node, mismatch("a map", node.value, remedy));
        }
        Section(node.clone())
    }

    /// A map whose keys are among `known`; others are reported.
    pub(crate) fn section<'n, N: Borrow<Node<'n>>>(
        &mut self,
        node: Option<N>,
        known: &[&str],
    ) -> Section<'n> {
        let section = self.map(node);
        for (name, node) in section.entries() {
            if !known.contains(&name) {
                self.report(&node, unknown("key", name, known));
            }
        }
        section
    }
}

/// What to say of an unknown key or word.
pub(crate) fn unknown(noun: &str, name: &str, known: &[&str]) -> Fault {
    let word = name.split_once(':').map(|(word, _)| word);
    if let Some(word) = word.filter(|word| known.contains(word)) {
        let remedy = format!("write a blank after the colon of `{word}`");
        return Fault::new(format!("unknown {noun}"), remedy);
    }
    let remedy = match likely_meant(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use one of {}", known.join(", ")),
    };
    Fault::new(format!("unknown {noun}"), remedy)
}

/// Something else was expected. The value itself is not shown.
fn mismatch(expected: &str, found: &Value, remedy: &str) -> Fault {
    Fault::new(
        format!("expected {expected}, found {}", found.kind()),
        remedy,
    )
}

/// Text, as it is.
pub(crate) fn text<'n>(node: &Node<'n>) -> Result<&'n str, Fault> {
    match (node.value, &node.location) {
        (Value::Text(text), _) => Ok(text),
        (other @ (Value::Bool(_) | Value::Number(_)), SourceLocation::Variable(_)) => {
            Err(mismatch(
                "text",
                other,
                "put double quotes around it, inside the variable",
            ))
        }
        (other @ (Value::Bool(_) | Value::Number(_)), _) => {
            Err(mismatch("text", other, "put it in quotes"))
        }
        (other, _) => Err(mismatch("text", other, "write a single value")),
    }
}

/// A duration such as `1h30m`, one of `range`.
pub(crate) fn duration(
    node: &Node<'_>,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, Fault> {
    let text = duration_text(node)?;
    let too_short = |what: &str| {
        Fault::new(
            format!("{what} is too short"),
            format!("write at least `{}`", show(*range.start())),
        )
    };
    if let Some(number) = bare_number(&text) {
        let seconds = Duration::try_from_secs_f64(number).ok();
        return Err(match seconds {
            Some(Duration::ZERO) if !range.contains(&Duration::ZERO) => too_short("0"),
            Some(seconds) if range.contains(&seconds) => without_unit(&text),
            _ => Fault::new("a number without a unit", DURATION),
        });
    }
    let duration = signed(&text)?;
    match Duration::try_from(duration) {
        Ok(duration) if duration < *range.start() => Err(too_short(&show(duration))),
        Ok(duration) if duration > *range.end() => Err(Fault::new(
            format!("{} is too long", show(duration)),
            format!("write at most `{}`", show(*range.end())),
        )),
        Ok(duration) => Ok(duration),
        Err(_) => Err(Fault::new("a negative duration", DURATION)),
    }
}

/// A duration such as `-6m`, at most a year long.
pub(crate) fn signed_duration(node: &Node<'_>) -> Result<SignedDuration, Fault> {
    let text = duration_text(node)?;
    if bare_number(&text).is_some() {
        return Err(without_unit(&text));
    }
    let duration = signed(&text)?;
    if duration.unsigned_abs() > MAX_DURATION {
        return Err(Fault::new("more than a year", "write a shorter duration"));
    }
    Ok(duration)
}

/// What to write for a duration.
const DURATION: &str = "write a number and a unit (h, m, s or ms), such as `60s` or `1h30m`";

fn duration_text(node: &Node<'_>) -> Result<String, Fault> {
    match node.value {
        Value::Text(text) => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(mismatch("a duration", other, DURATION)),
    }
}

fn bare_number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn without_unit(text: &str) -> Fault {
    let remedy = format!("add the unit, such as `{text}s`");
    Fault::new("a number without a unit", remedy)
}

fn signed(text: &str) -> Result<SignedDuration, Fault> {
    let duration = text.parse();
    duration.map_err(|_| Fault::new("not a duration", DURATION))
}

/// A whole number from 1 to `most`.
pub(crate) fn count(node: &Node<'_>, most: u32) -> Result<u32, Fault> {
    whole(node, 1..=most)
}

/// A whole number, one of `range`.
pub(crate) fn whole<T>(node: &Node<'_>, range: RangeInclusive<T>) -> Result<T, Fault>
where
    T: TryFrom<i64> + PartialOrd + fmt::Display,
{
    let remedy = || {
        format!(
            "write a whole number from {} to {}",
            range.start(),
            range.end()
        )
    };
    match node.value {
        Value::Number(number) if number.as_f64().is_some_and(|n| n.fract().abs() > 0.0) => Err(
            Fault::new(format!("{number} is not a whole number"), remedy()),
        ),
        Value::Number(number) => {
            let whole = number.as_i64().and_then(|whole| T::try_from(whole).ok());
            whole
                .filter(|whole| range.contains(whole))
                .ok_or_else(|| Fault::new(format!("{number} is out of range"), remedy()))
        }
        Value::Text(text) if text.parse::<i64>().is_ok() => Err(Fault::new(
            "the number is text",
            "write the number without quotes",
        )),
        other => Err(mismatch("a number", other, &remedy())),
    }
}

/// `true`, the only value of a setting that switches something on.
pub(crate) fn only_true(node: &Node<'_>) -> Result<bool, Fault> {
    const REMEDY: &str = "write `true`, or remove the key";
    match node.value {
        Value::Bool(true) => Ok(true),
        Value::Bool(false) => Err(Fault::new("`false` means nothing here", REMEDY)),
        other => Err(mismatch("true", other, REMEDY)),
    }
}

/// `true` or `false`.
pub(super) fn switch(node: &Node<'_>) -> Result<bool, Fault> {
    match node.value {
        Value::Bool(value) => Ok(*value),
        other => Err(mismatch("true or false", other, "write `true` or `false`")),
    }
}

/// The items of a list.
pub(crate) fn list<'n>(node: &Node<'n>, remedy: &str) -> Result<Vec<Node<'n>>, Fault> {
    let items = node.items().map(Iterator::collect);
    items.ok_or_else(|| mismatch("a list", node.value, remedy))
}

/// `duration` as one writes it: `1h30m`.
pub(crate) fn show(duration: Duration) -> String {
    // No duration of a configuration is too long.
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    SpanPrinter::new()
        .spacing(Spacing::None)
        .duration_to_string(&duration)
}
