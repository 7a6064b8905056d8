//! Where one secret is: in a file or in an environment variable.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::form::word;
use crate::config::environment::Environment;
use crate::config::path::shown_path;
use crate::config::problem::Fault;
use crate::system::reading;

/// The largest file that is read for a secret, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Where a secret id comes from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum IdSource {
    /// It is written in the configuration.
    Literal(String),
    /// The file that holds it.
    File(PathBuf),
    /// The name of the environment variable that holds it.
    Env(String),
}

impl IdSource {
    /// The file that it is in, if it is in one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Literal(_) | Self::Env(_) => None,
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
            Self::File(path) => read_file(path, texts),
            Self::Env(name) => read_variable(name, environment),
        }
    }
}

/// A literal id does not show.
impl fmt::Debug for IdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(<secret>)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
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
    /// The file that it is in, if it is in one.
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
}

/// Gives the text of a file.
pub type ReadText<'a> = dyn Fn(&Path) -> Result<String, NoText> + 'a;

/// Why a file gives no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoText {
    /// Whether there is nothing of this name, not even a link that leads nowhere.
    pub is_absent: bool,
    /// What is wrong, with the path.
    pub fault: Fault,
}

impl From<NoText> for Fault {
    fn from(no_text: NoText) -> Self {
        no_text.fault
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
            "set it and restart the exporter, or name another",
        ));
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

/// Reads a small file. What is not UTF-8 in it becomes replacement characters. Blocks for as
/// long as the file system does.
///
/// # Errors
///
/// When the file is missing, cannot be read, is no regular file or is too large.
pub fn read_text(path: &Path) -> Result<String, NoText> {
    reading::at(path, || read_text_now(path))
}

fn read_text_now(path: &Path) -> Result<String, NoText> {
    let present = |fault| NoText {
        is_absent: false,
        fault,
    };
    // A dangling link is something that somebody put there.
    if let Err(error) = path.symlink_metadata()
        && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
    {
        return Err(NoText {
            is_absent: true,
            fault: unreadable(path, &error),
        });
    }
    let mut bytes = Vec::new();
    open_file(path)
        .map_err(present)?
        .take(MAX_SECRET_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| present(unreadable(path, &error)))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_SECRET_BYTES) {
        return Err(present(Fault::new(
            format!("the file {} is larger than 64 KiB", shown_path(path)),
            "name a file that holds nothing but the secret",
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a regular file, following links.
pub(in crate::config) fn open_file(path: &Path) -> Result<File, Fault> {
    // Asked first, as opening a pipe would wait for its writer.
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(Fault::new(
            format!("{} is not a regular file", shown_path(path)),
            "name a regular file: the exporter reads it again and again",
        ));
    }
    File::open(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(
        format!("the file {} cannot be read: {error}", shown_path(path)),
        "create it and let the exporter's user read it, or name another",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let found = read(bytes).unwrap_err().what;
            assert!(
                found.starts_with("the file /") && found.ends_with(what),
                "{found}"
            );
        }
    }

    #[test]
    fn only_a_regular_file_is_opened() {
        assert_eq!(
            open_file(Path::new("/dev/null")).unwrap_err().what,
            "/dev/null is not a regular file"
        );
        assert_eq!(
            open_file(Path::new("/nowhere")).unwrap_err().what,
            "the file /nowhere cannot be read: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn only_where_nothing_is_a_file_is_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read_text(&path).unwrap_err().is_absent);
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        let dangling = read_text(&path).unwrap_err();
        assert!(!dangling.is_absent);
        assert!(dangling.fault.what.contains(path.to_str().unwrap()));
        assert!(!read_text(folder.path()).unwrap_err().is_absent);
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
            assert_eq!(read(name).unwrap_err().what, what);
        }
    }
}
