//! The files that a configuration names: regular ones, and small enough to be read whole.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use super::path::shown_path;
use super::problem::Fault;
use crate::system::reading;

/// The largest file that is read for a secret, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Gives the text of a file.
pub type ReadText<'a> = dyn Fn(&Path) -> Result<String, NoText> + 'a;

/// Why a file gives no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoText {
    /// Whether nothing has this name, not even a dangling link.
    pub is_absent: bool,
    /// What is wrong, with the path.
    pub fault: Fault,
}

impl From<NoText> for Fault {
    fn from(no_text: NoText) -> Self {
        no_text.fault
    }
}

/// Reads a small file. Bytes that are not UTF-8 become replacement characters. Blocks for as
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
    // A dangling link is not absent: somebody has made the link.
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
        return Err(present(
            Fault::new(
                format!("the file {} is larger than 64 KiB", shown_path(path)),
                "name a file that has only the secret",
            )
            .in_chinese("指定只含密钥的文件"),
        ));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a regular file, following links.
pub(super) fn open_file(path: &Path) -> Result<File, Fault> {
    // Asked first, as opening a pipe would wait for its writer.
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(Fault::new(
            format!("{} is not a regular file", shown_path(path)),
            "name a regular file, because the exporter reads the file many times",
        )
        .in_chinese("指定普通文件，因为 exporter 会多次读取"));
    }
    File::open(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(
        format!("the file {} cannot be read: {error}", shown_path(path)),
        "create the file and let the exporter's user read it, or name another file",
    )
    .in_chinese("创建该文件并允许运行 exporter 的用户读取，或指定其他文件")
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
