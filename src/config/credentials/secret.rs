//! Where one secret is: in a file or in an environment variable.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::environment::Environment;
use crate::config::problem::Fault;

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
    /// Reads the id; a file is read anew.
    ///
    /// # Errors
    ///
    /// As [`SecretSource::read`].
    pub fn read(&self, environment: &Environment) -> Result<String, Fault> {
        match self {
            Self::Literal(id) => usable(id),
            Self::File(path) => read_file(path),
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
    /// Reads the secret without surrounding white space; a file is read anew.
    ///
    /// # Errors
    ///
    /// When it is missing, unreadable, empty, too long or cannot be a secret.
    /// The error names neither the file or variable nor what is in it: when a
    /// secret was put in place of its own file name, that name is the secret.
    pub fn read(&self, environment: &Environment) -> Result<String, Fault> {
        match self {
            Self::File(path) => read_file(path),
            Self::Env(name) => read_variable(name, environment),
        }
    }
}

fn read_variable(name: &str, environment: &Environment) -> Result<String, Fault> {
    let Some(value) = environment.get(name) else {
        return Err(Fault::new(
            "the environment variable it names is not set, or empty",
            "set it, or name another",
        ));
    };
    usable(value)
}

/// Reads a file that holds one secret.
pub(super) fn read_file(path: &Path) -> Result<String, Fault> {
    usable(&read_text(path)?)
}

/// Reads a small file. What is not UTF-8 in it becomes replacement characters.
pub(super) fn read_text(path: &Path) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    open_file(path)?
        .take(MAX_SECRET_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_SECRET_BYTES) {
        return Err(Fault::new(
            "the file it names is larger than 64 KiB",
            "name a file that holds nothing but the secret",
        ));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a regular file, following links.
pub(in crate::config) fn open_file(path: &Path) -> Result<File, Fault> {
    // Asked first, as opening a pipe would wait for its writer.
    let metadata = path.metadata().map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err(Fault::new(
            "what it names is not a file",
            "name a regular file",
        ));
    }
    File::open(path).map_err(|error| unreadable(&error))
}

fn unreadable(error: &std::io::Error) -> Fault {
    Fault::new(
        format!("the file it names cannot be read: {error}"),
        "create it and let the exporter's user read it, or name another",
    )
}

/// Trims `text` and makes sure that it can stand in an HTTP header.
pub(super) fn usable(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Fault::new("the value is empty", "fill it in"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::new(
            "the value has white space, control or non-ASCII characters inside",
            "copy it anew: one word, nothing else",
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String, Fault> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        SecretSource::File(file.path().to_owned()).read(&Environment::default())
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
            (
                &[b'a'; 64 * 1024 + 1],
                "the file it names is larger than 64 KiB",
            ),
        ] {
            assert_eq!(read(bytes).unwrap_err().what, what);
        }
    }

    #[test]
    fn only_a_regular_file_is_opened() {
        assert_eq!(
            open_file(Path::new("/dev/null")).unwrap_err().what,
            "what it names is not a file"
        );
        assert_eq!(
            open_file(Path::new("/nowhere")).unwrap_err().what,
            "the file it names cannot be read: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn a_variable_is_read_and_trimmed() {
        let environment = Environment::from([("KEY", "hunter2\n"), ("EMPTY", " ")]);
        let read = |name: &str| SecretSource::Env(name.to_owned()).read(&environment);
        assert_eq!(read("KEY").unwrap(), "hunter2");
        assert_eq!(read("EMPTY"), read("OTHER"));
        assert!(read("OTHER").is_err());
    }
}
