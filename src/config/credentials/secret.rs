//! Where one secret is: in a file or in an environment variable.

use std::fmt;
use std::path::{Path, PathBuf};

use super::form::word;
use crate::config::environment::Environment;
use crate::config::path::shown_path;
use crate::config::problem::Fault;
use crate::config::regular_file::ReadText;
use crate::config::serialize::absolute;

/// Where a secret id comes from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum IdSource {
    /// It is written in the configuration.
    Literal(String),
    /// It is where secrets are, too.
    Stored(SecretSource),
}

impl IdSource {
    /// The file with the secret, if the secret is in a file.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Literal(_) => None,
            Self::Stored(source) => source.file(),
        }
    }

    /// Reads the id without surrounding white space; a file's text is asked of `texts`.
    ///
    /// # Errors
    ///
    /// As [`SecretSource::read`].
    pub fn read(&self, environment: &Environment, texts: &ReadText<'_>) -> Result<String, Fault> {
        match self {
            Self::Literal(id) => word(id).map(str::to_owned),
            Self::Stored(source) => source.read(environment, texts),
        }
    }
}

/// A literal id does not show.
impl fmt::Debug for IdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(<secret>)"),
            Self::Stored(source) => source.fmt(f),
        }
    }
}

/// Where a secret comes from. There is no literal: secrets stay out of the
/// configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// The file that holds it.
    File(PathBuf),
    /// The name of the environment variable that holds it.
    Env(String),
}

impl SecretSource {
    /// The file with the secret, if the secret is in a file.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Env(_) => None,
        }
    }

    /// Reads the secret without surrounding white space; a file's text is asked of `texts`.
    ///
    /// # Errors
    ///
    /// When it is missing, unreadable, empty, too long or cannot be a secret. The error
    /// names the file or the variable, unless that name may be the secret, put in its place.
    pub fn read(&self, environment: &Environment, texts: &ReadText<'_>) -> Result<String, Fault> {
        match self {
            Self::File(path) => read_file(path, texts),
            Self::Env(name) => read_variable(name, environment),
        }
    }

    /// The entry of a map that says where it is: by the first of these keys if it is in a
    /// file, else by the second.
    pub(in crate::config) fn entry(
        &self,
        [file, variable]: [&'static str; 2],
    ) -> (&'static str, String) {
        match self {
            Self::File(path) => (file, absolute(path)),
            Self::Env(name) => (variable, name.clone()),
        }
    }
}

fn read_variable(name: &str, environment: &Environment) -> Result<String, Fault> {
    let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let shown = if name.chars().all(upper) {
        format!("the environment variable {name}")
    } else {
        // It may be the secret itself.
        "the environment variable that is named here".to_owned()
    };
    let Some(value) = environment.get(name) else {
        return Err(Fault::new(
            format!("{shown} is not set, or empty"),
            "set the variable and restart the exporter, or name another variable",
        )
        .in_chinese("设置该变量并重启 exporter，或指定其他变量"));
    };
    let value = word(value).map(str::to_owned);
    value.map_err(|fault| fault.within(&shown))
}

/// Reads a file that holds one secret.
pub(super) fn read_file(path: &Path, texts: &ReadText<'_>) -> Result<String, Fault> {
    let text = texts(path)?;
    let secret = word(&text).map(str::to_owned);
    secret.map_err(|fault| fault.within(&format!("the file {}", shown_path(path))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::regular_file::read_text;

    fn read(bytes: &[u8]) -> Result<String, Fault> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        SecretSource::File(file.path().to_owned()).read(&Environment::default(), &read_text)
    }

    #[test]
    fn a_secret_file_is_trimmed() {
        assert_eq!(read(b" hunter2\r\n").unwrap(), "hunter2");
        assert!(read(&[b'a'; 64 * 1024]).is_ok());
    }

    #[test]
    fn a_file_that_holds_no_secret_is_refused() {
        for (bytes, what) in [
            (&b"\n"[..], "the value is empty"),
            (
                b"hunter2 hunter3",
                "the value has white space, control or non-ASCII characters inside",
            ),
            (
                b"hunter2\nhunter3",
                "the value has white space, control or non-ASCII characters inside",
            ),
            (
                b"\xff\xfe",
                "the value has white space, control or non-ASCII characters inside",
            ),
            (&[b'a'; 64 * 1024 + 1], " is larger than 64 KiB"),
        ] {
            let fault = read(bytes).unwrap_err();
            assert!(fault.chinese_remedy.is_some(), "{what}");
            let found = fault.what;
            assert!(
                found.starts_with("the file /") && found.ends_with(what),
                "{found}"
            );
        }
    }

    #[test]
    fn a_variable_is_read_and_trimmed() {
        let environment = Environment::from([("KEY", "hunter2\n"), ("EMPTY", " ")]);
        let read = |name: &str| SecretSource::Env(name.to_owned()).read(&environment, &read_text);
        assert_eq!(read("KEY").unwrap(), "hunter2");
        for (name, what) in [
            (
                "EMPTY",
                "the environment variable EMPTY is not set, or empty",
            ),
            (
                "OTHER",
                "the environment variable OTHER is not set, or empty",
            ),
            (
                "Gu5t9xGARNpq86cd98joQYCN3Cozk1qA",
                "the environment variable that is named here is not set, or empty",
            ),
        ] {
            let fault = read(name).unwrap_err();
            assert_eq!(fault.what, what);
            assert!(fault.chinese_remedy.is_some(), "{what}");
        }
    }
}
