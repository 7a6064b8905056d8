//! What is wrong with a scenario.

use std::fmt;

use serde_saphyr::Error;

/// What is said of a value that is no time.
pub(crate) const NOT_A_TIME: &str = "not a time: write one such as `500ms`, `10s` or `5m`";
/// What is said of a time before zero.
pub(crate) const NEGATIVE_TIME: &str = "a time is negative: write one such as `10s`";
/// What is said of a value that is no size.
pub(crate) const NOT_A_SIZE: &str = "not a size: write one such as `64KiB` or `8MiB`";

/// A scenario that cannot be played: every problem found, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ScenarioError(pub(crate) Vec<Problem>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Counted from 1.
    line: Option<u64>,
    /// What is wrong and what to do, without any secret.
    text: String,
}

impl Problem {
    pub(crate) fn new(line: u64, text: impl Into<String>) -> Self {
        Self {
            line: (line > 0).then_some(line),
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

impl ScenarioError {
    /// Why `yaml` could not be read, in words that hold none of its values.
    ///
    /// The parser's own words would quote them, and secrets are among them.
    pub(crate) fn unreadable(yaml: &str, error: &Error) -> Self {
        let line = error.location().map_or(0, |location| location.line());
        let text = match error.without_snippet() {
            Error::SerdeUnknownField {
                field, expected, ..
            } => unknown_key(field, expected),
            Error::SerdeMissingField { field, .. } => {
                format!("the key `{field}` is missing: add it")
            }
            Error::SerdeInvalidType { expected, .. }
            | Error::SerdeInvalidValue { expected, .. } => {
                format!("wrong kind of value: write {expected}")
            }
            Error::InvalidScalar { ty, .. } => format!("wrong kind of value: write a {ty}"),
            Error::DuplicateMappingKey { .. } => "a key comes twice: remove one of them".to_owned(),
            Error::Message { msg, .. }
                if [NOT_A_TIME, NEGATIVE_TIME, NOT_A_SIZE].contains(&msg.as_str()) =>
            {
                msg.clone()
            }
            Error::ExternalMessage { msg, .. } if !near_secret(yaml, line) => {
                format!("not valid YAML: {msg}")
            }
            Error::Eof { .. } => "the scenario is empty: it needs `accounts`".to_owned(),
            Error::Unexpected { expected, .. } => {
                let expected = match *expected {
                    "sequence start" => "a list",
                    "mapping start" => "keys with values",
                    "string scalar" => "a text",
                    other => other,
                };
                format!("wrong kind of value: write {expected}")
            }
            _ => "not valid YAML for a scenario: check indentation and quotes".to_owned(),
        };
        Self(vec![Problem::new(line, text)])
    }
}

/// Shows a key only as far as it is a word: after a forgotten blank, as in
/// `secret_key:value`, the rest of it is a value.
fn unknown_key(key: &str, known: &[&str]) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some((word, _)) = key.split_once(|c| !is_word(c)) {
        return format!("unknown key `{word}…`: write a blank after its colon");
    }
    let similar = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(key, name), name))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    match similar {
        Some((_, name)) => format!("unknown key `{key}`: did you mean `{name}`?"),
        None => format!("unknown key `{key}`: use one of {}", known.join(", ")),
    }
}

/// Whether a secret may stand on or just before a line.
fn near_secret(yaml: &str, line: u64) -> bool {
    let last = usize::try_from(line).unwrap_or(usize::MAX);
    yaml.lines()
        .take(last.saturating_add(1))
        .skip(last.saturating_sub(3))
        .any(|line| {
            ["secret", "token", "external_id"]
                .iter()
                .any(|key| line.contains(key))
        })
}
