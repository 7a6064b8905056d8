//! What is wrong with a configuration, where, and what to do about it.
//!
//! None of these texts repeats a value that was not understood: it could be a
//! secret that slipped to the wrong line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::system::words::counted;

/// What is wrong with one value and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What the user can do.
    pub remedy: String,
    /// The same in Chinese, where the status page may show it.
    pub chinese_remedy: Option<String>,
}

impl Fault {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
            chinese_remedy: None,
        }
    }

    /// The same fault, with its remedy in Chinese: the status page shows it.
    pub(crate) fn in_chinese(self, remedy: impl Into<String>) -> Self {
        Self {
            chinese_remedy: Some(remedy.into()),
            ..self
        }
    }

    /// The same fault, found in the part `name` of something.
    pub(crate) fn within(self, name: &str) -> Self {
        Self {
            what: format!("{name}: {}", self.what),
            ..self
        }
    }
}

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceLocation {
    /// Nowhere: it is missing, and there is no file to add it to.
    Nowhere,
    /// In the configuration file.
    File {
        /// The file's path, as it was given.
        path: Arc<Path>,
        /// The line, counted from 1, when one line can be blamed.
        line: Option<u64>,
        /// The column, counted from 1, when the text itself is not YAML.
        column: Option<u64>,
    },
    /// In the environment variable of this name.
    Variable(String),
}

impl SourceLocation {
    /// The file as a whole, or nowhere.
    pub(crate) fn whole(file: Option<&Path>) -> Self {
        match file {
            Some(path) => Self::File {
                path: path.into(),
                line: None,
                column: None,
            },
            None => Self::Nowhere,
        }
    }

    pub(crate) fn line(file: &Arc<Path>, line: u64) -> Self {
        Self::File {
            path: Arc::clone(file),
            line: Some(line),
            column: None,
        }
    }
}

/// The longest name of a variable that is shown whole, in bytes.
const LONGEST_NAME: usize = 120;

/// `settings.yml:3` or the variable's name, empty for [`SourceLocation::Nowhere`].
impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => Ok(()),
            Self::Variable(name) if name.len() > LONGEST_NAME => {
                let start: String = name.chars().take(LONGEST_NAME).collect();
                write!(f, "{start}…")
            }
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line, column } => {
                write!(f, "{}", path.display())?;
                for number in [line, column].into_iter().flatten() {
                    write!(f, ":{number}")?;
                }
                Ok(())
            }
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub location: SourceLocation,
    /// The key, such as `accounts[1].credentials.secret_key`; empty for the whole.
    pub key: String,
    /// What is wrong and what to do about it.
    pub fault: Fault,
}

impl Problem {
    pub(crate) fn new(location: SourceLocation, key: impl Into<String>, fault: Fault) -> Self {
        let key = key.into();
        Self {
            location,
            key,
            fault,
        }
    }

    /// A problem of `file` as a whole.
    pub(crate) fn whole(file: Option<&Path>, fault: Fault) -> Self {
        Self::new(SourceLocation::whole(file), "", fault)
    }
}

/// `<location>: <key>: <what is wrong>; <what to do>`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [self.location.to_string(), self.key.clone()] {
            if !part.is_empty() {
                write!(f, "{}: ", printable(&part))?;
            }
        }
        f.write_str(&printable(&self.fault.to_string()))
    }
}

/// `text` with escapes for all that does not print, or that changes how the rest prints:
/// control characters, line ends, marks of direction.
pub(super) fn printable(text: &str) -> String {
    let is_plain = |c: char| ['\'', '"', '\\'].contains(&c);
    let shown = text.chars().map(|c| match is_plain(c) {
        true => c.to_string(),
        false => c.escape_debug().to_string(),
    });
    shown.collect()
}

/// Everything that is wrong with a configuration, at least one problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<PathBuf>,
    problems: Vec<Problem>,
}

impl ConfigError {
    /// Orders `problems` as a reader of the file meets them; those of other files follow.
    pub(crate) fn new(file: Option<&Path>, mut problems: Vec<Problem>) -> Self {
        let is_elsewhere = |location: &SourceLocation| matches!(location, SourceLocation::File { path, .. } if Some(&**path) != file);
        problems.sort_by(|a, b| a.location.cmp(&b.location));
        problems.sort_by_key(|problem| match &problem.location {
            SourceLocation::Nowhere => 0,
            SourceLocation::Variable(_) => 3,
            location => 1 + u8::from(is_elsewhere(location)),
        });
        Self {
            file: file.map(Path::to_owned),
            problems,
        }
    }

    /// The one problem of `file` as a whole.
    pub(crate) fn whole(file: &Path, what: &str, remedy: &str) -> Self {
        let problem = Problem::whole(Some(file), Fault::new(what, remedy));
        Self::new(Some(file), vec![problem])
    }

    /// The problems: the file's by line, those of the files that it names, then those of
    /// environment variables.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// A heading that counts, then one indented line per problem.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => f.write_str(&printable(&file.to_string_lossy()))?,
            None => f.write_str("configuration")?,
        }
        write!(f, ": {}", counted(self.problems.len(), "problem"))?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
