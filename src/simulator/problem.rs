//! What is wrong with a scenario.

use std::fmt;

use crate::config::yaml::typed::Mismatch;
use crate::config::{self, Place};

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

/// One problem by itself; several below a heading that counts them.
fn lines(problems: &[Problem]) -> String {
    let texts = problems.iter().map(Problem::to_string);
    match problems {
        [_] => texts.collect(),
        _ => {
            let heading = format!("{} problems", problems.len());
            let lines: Vec<String> = [heading].into_iter().chain(texts).collect();
            lines.join("\n  ")
        }
    }
}

impl From<Vec<config::Problem>> for ScenarioError {
    fn from(problems: Vec<config::Problem>) -> Self {
        let problems = problems.into_iter().map(|problem| {
            let line = match problem.place {
                Place::File { line, .. } => line.unwrap_or(0),
                _ => 0,
            };
            let key = match problem.key.as_str() {
                "" => String::new(),
                key => format!("`{key}`: "),
            };
            Problem::new(
                line,
                format!("{key}{}: {}", problem.fault.what, problem.fault.remedy),
            )
        });
        Self(problems.collect())
    }
}

impl From<Mismatch> for ScenarioError {
    fn from(mismatch: Mismatch) -> Self {
        Self(vec![Problem::new(mismatch.line, mismatch.to_string())])
    }
}
