//! What the other process does with the state folder: one operation, then it ends.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::system::output::{Output, temporary_prefix};

/// The hidden command of this program that touches the state folder.
pub const COMMAND: &str = "state-file";

/// The largest file that is read, in bytes: more than enough for 100,000 accounts.
const MAX_FILE: u64 = 512 * 1024 * 1024;

/// The endings of the names of files that were put aside. There are never more of them.
const ASIDE: [&str; 3] = [".refused", ".refused-2", ".refused-3"];

/// Only the exporter's user reads the file.
const PRIVATE: u32 = 0o600;

/// What is done with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Its content goes to standard output.
    Load,
    /// It is replaced by what comes from standard input.
    Save,
    /// It is renamed; standard output gets the new name.
    SetAside,
}

impl Operation {
    const ALL: [Self; 3] = [Self::Load, Self::Save, Self::SetAside];

    /// As it is named on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Save => "save",
            Self::SetAside => "set-aside",
        }
    }
}

/// What became of an operation, as an exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was done.
    Done = 0,
    /// It failed; standard error says why.
    Failed = 1,
    /// The folder cannot be used; standard error says why.
    Folder = 10,
    /// The file cannot be read; standard error says why.
    Refused = 11,
    /// There is no file.
    NoFile = 12,
}

impl Exit {
    /// The meaning of this exit status, if it is known.
    #[must_use]
    pub fn of(status: i32) -> Option<Self> {
        let all = [
            Self::Done,
            Self::Failed,
            Self::Folder,
            Self::Refused,
            Self::NoFile,
        ];
        all.into_iter().find(|exit| *exit as i32 == status)
    }
}

/// Does what `arguments` ask for and returns the exit code, if they are `state-file`, an
/// operation, the length of standard input and a path.
#[must_use]
pub fn run_if_asked(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let [command, operation, length, path] = arguments.as_slice() else {
        return None;
    };
    if command != COMMAND {
        return None;
    }
    let operation = Operation::ALL
        .into_iter()
        .find(|known| operation == known.as_str())?;
    Some(run(
        operation,
        length.to_str()?.parse().ok()?,
        Path::new(path),
    ))
}

fn run(operation: Operation, length: u64, path: &Path) -> ExitCode {
    let (input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let (exit, message) = match perform(operation, length, path, input, &mut output) {
        Ok(exit) => (exit, None),
        Err((exit, message)) => (exit, Some(message)),
    };
    if let Some(message) = message {
        // There is nobody else to tell.
        let _ = writeln!(io::stderr(), "{message}");
    }
    ExitCode::from(exit as u8)
}

fn perform(
    operation: Operation,
    length: u64,
    path: &Path,
    input: impl Read,
    output: &mut impl Write,
) -> Result<Exit, (Exit, String)> {
    let failed = |verb: &str, error: io::Error| {
        (
            Exit::Failed,
            format!("cannot {verb} {}: {error}", path.display()),
        )
    };
    match operation {
        Operation::Load => {
            let folder = path.parent().unwrap_or(Path::new("."));
            prepare(folder, path).map_err(|message| (Exit::Folder, message))?;
            let content = read(path, MAX_FILE).map_err(|error| {
                let message = format!("cannot read {}: {error}", path.display());
                (Exit::Refused, message)
            })?;
            let Some(content) = content else {
                return Ok(Exit::NoFile);
            };
            let written = output.write_all(&content).and_then(|()| output.flush());
            written.map_err(|error| failed("hand over", error))?;
        }
        Operation::Save => {
            let mut bytes = Vec::new();
            let read = input.take(length).read_to_end(&mut bytes);
            read.map_err(|error| failed("get what belongs into", error))?;
            if u64::try_from(bytes.len()) != Ok(length) {
                // Who sent it has died; half of it is worth nothing.
                return Err(failed("get all of", io::ErrorKind::UnexpectedEof.into()));
            }
            let target = Output::at(path)
                .map_err(|unsuitable| (Exit::Failed, format!("{} {unsuitable}", path.display())))?;
            let written = target.write(&bytes, PRIVATE);
            written.map_err(|error| failed("write", error))?;
        }
        Operation::SetAside => {
            let aside = set_aside(path).map_err(|error| failed("put aside", error))?;
            let written = write!(output, "{}", aside.display());
            written.map_err(|error| failed("name what was put aside for", error))?;
        }
    }
    Ok(Exit::Done)
}

/// Makes sure that `folder` can be used, and removes what killed processes left beside
/// `path`.
fn prepare(folder: &Path, path: &Path) -> Result<(), String> {
    usable(folder)?;
    let prefix = temporary_prefix(path);
    let leftovers = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for leftover in leftovers {
        if leftover.file_name().to_string_lossy().starts_with(&prefix) {
            // In the worst case, one file too many remains.
            let _ = std::fs::remove_file(leftover.path());
        }
    }
    Ok(())
}

/// The remedy if `folder` is missing or is not a folder, or if this user may not write to it.
/// A disk that is full is another matter, which the next save tells.
pub(super) fn usable(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    if let Err(error) = folder.metadata() {
        return Err(match error.kind() {
            io::ErrorKind::NotFound => format!(
                "there is no folder {shown}; create it and let the exporter's user write to \
                 it, or name another"
            ),
            _ => format!("cannot look at the folder {shown}: {error}; name another"),
        });
    }
    if !folder.is_dir() {
        return Err(format!("{shown} is not a folder; name another"));
    }
    let probe = tempfile::Builder::new()
        .prefix(".cwp-exporter-")
        .tempfile_in(folder);
    probe.map_or_else(|error| check_permission(folder, &error), |_| Ok(()))
}

/// Refuses `folder` if `error`, which a new file in the folder caused, says that this user may not
/// write to the folder.
fn check_permission(folder: &Path, error: &io::Error) -> Result<(), String> {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Err(format!(
            "cannot write to the folder {}: {error}; let the exporter's user write to it, or name \
             another",
            folder.display()
        )),
        _ => Ok(()),
    }
}

/// The content of the file at `path`, if there is one, of `most` bytes at the most.
fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let found = match path.metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Opening a pipe would wait for somebody who writes.
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if found.len() > most {
        return Err(io::Error::other("it is larger than 512 MiB"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// Renames the file at `path`. If all names are taken, the oldest of these files makes way.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let names = ASIDE.map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    });
    // A name that is free has none, which is less than any.
    let age = |name: &PathBuf| {
        name.symlink_metadata()
            .and_then(|taken| taken.modified())
            .ok()
    };
    let name = names.into_iter().min_by_key(age).unwrap_or_default();
    std::fs::rename(path, &name)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an operation with the file at `path` tells, and its output.
    fn done(operation: Operation, input: &str, path: &Path) -> (Exit, String) {
        let mut output = Vec::new();
        let length = input.len().try_into().unwrap();
        match perform(operation, length, path, input.as_bytes(), &mut output) {
            Ok(exit) => (exit, String::from_utf8(output).unwrap()),
            Err((exit, message)) => (exit, message),
        }
    }

    #[test]
    fn what_was_saved_is_loaded_also_after_a_save_that_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.json");
        assert_eq!(done(Operation::Load, "", &path).0, Exit::NoFile);
        assert_eq!(done(Operation::Save, "good", &path).0, Exit::Done);
        let cut = perform(Operation::Save, 10, &path, &b"half"[..], &mut Vec::new());
        assert_eq!(cut.unwrap_err().0, Exit::Failed);
        let loaded = done(Operation::Load, "", &path);
        assert_eq!(loaded, (Exit::Done, "good".to_owned()));
    }

    #[test]
    fn only_the_exporters_user_reads_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.json");
        done(Operation::Save, "good", &path);
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_and_so_is_a_reader_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.json");
        File::create(&path).unwrap().set_len(MAX_FILE + 1).unwrap();
        let (exit, message) = done(Operation::Load, "", &path);
        assert_eq!(exit, Exit::Refused);
        assert!(message.ends_with("it is larger than 512 MiB"), "{message}");
        std::fs::write(&path, "good").unwrap();
        let gone = perform(Operation::Load, 0, &path, io::empty(), &mut &mut [0; 3][..]);
        let (exit, message) = gone.unwrap_err();
        assert_eq!(exit, Exit::Failed);
        assert!(message.starts_with("cannot hand over "), "{message}");
    }

    #[test]
    fn a_file_is_read_if_it_has_no_more_than_the_most() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.json");
        assert_eq!(read(&path, 4).unwrap(), None);
        std::fs::write(&path, "good").unwrap();
        assert_eq!(read(&path, 4).unwrap().as_deref(), Some(&b"good"[..]));
        assert!(read(&path, 3).is_err());
        assert!(read(&path.join("below"), 4).is_err());
    }

    #[test]
    fn what_cannot_be_received_or_named_is_told() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.json");
        let saved = perform(Operation::Save, 4, &path, Broken, &mut Vec::new());
        let (exit, message) = saved.unwrap_err();
        assert_eq!(exit, Exit::Failed);
        assert!(
            message.starts_with("cannot get what belongs into "),
            "{message}"
        );
        assert!(!path.exists());
        std::fs::write(&path, "bad").unwrap();
        let aside = perform(Operation::SetAside, 0, &path, Broken, &mut &mut [0; 3][..]);
        let (exit, message) = aside.unwrap_err();
        assert_eq!(exit, Exit::Failed);
        assert!(
            message.starts_with("cannot name what was put aside for "),
            "{message}"
        );
    }

    #[test]
    fn only_the_hidden_command_with_all_its_arguments_is_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.json");
        let asked = |arguments: &[&str]| {
            let path = path.as_os_str().to_owned();
            let arguments = arguments.iter().map(OsString::from);
            run_if_asked(arguments.chain([path])).map(|code| format!("{code:?}"))
        };
        let no_file = format!("{:?}", ExitCode::from(12));
        assert_eq!(asked(&[COMMAND, "load", "0"]), Some(no_file));
        let failed = format!("{:?}", ExitCode::from(1));
        assert_eq!(asked(&[COMMAND, "set-aside", "0"]), Some(failed));
        for arguments in [
            &[COMMAND, "load"][..],
            &[COMMAND, "load", "many"],
            &[COMMAND, "remove", "0"],
            &["serve", "load", "0"],
            &[COMMAND, "load", "0", "more"],
        ] {
            assert_eq!(asked(arguments), None, "{arguments:?}");
        }
    }

    #[test]
    fn a_folder_that_this_user_may_not_write_to_is_told_with_what_to_do() {
        for kind in [
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem,
        ] {
            let message = check_permission(Path::new("/folder"), &kind.into()).unwrap_err();
            assert!(
                message.starts_with("cannot write to the folder /folder: "),
                "{message}"
            );
            assert!(message.ends_with("name another"), "{message}");
        }
        let full = io::ErrorKind::StorageFull.into();
        assert_eq!(check_permission(Path::new("/folder"), &full), Ok(()));
    }

    #[test]
    fn a_refused_file_is_put_aside_and_there_are_never_more_than_three() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.json");
        for number in 0..5 {
            std::fs::write(&path, number.to_string()).unwrap();
            let modified =
                std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number + 1);
            File::open(&path).unwrap().set_modified(modified).unwrap();
            let (exit, name) = done(Operation::SetAside, "", &path);
            assert_eq!(exit, Exit::Done, "{name}");
            assert_eq!(std::fs::read_to_string(name).unwrap(), number.to_string());
            assert!(!path.exists());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
        std::fs::create_dir(&path).unwrap();
        assert_eq!(done(Operation::Load, "", &path).0, Exit::Refused);
        assert_eq!(done(Operation::SetAside, "", &path).0, Exit::Failed);
        assert!(path.is_dir(), "nothing else was to be had");
    }

    #[test]
    fn what_is_no_file_is_refused_and_does_not_hang() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("snapshots.json");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert_eq!(done(Operation::Load, "", &pipe).0, Exit::Refused);
        assert_eq!(done(Operation::SetAside, "", &pipe).0, Exit::Done);
    }

    #[test]
    fn what_killed_processes_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots-1.json");
        let other = temporary_prefix(&folder.path().join("snapshots-12.json"));
        for name in [
            format!("{}AbCdEf.tmp", temporary_prefix(&path)),
            format!("{other}AbCdEf.tmp"),
            "mine".to_owned(),
        ] {
            std::fs::write(folder.path().join(name), "half").unwrap();
        }
        done(Operation::Load, "", &path);
        let left = std::fs::read_dir(folder.path()).unwrap();
        assert_eq!(left.count(), 2);
    }

    #[test]
    fn a_folder_that_is_missing_or_is_none_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        for name in ["absent", "absent/state", "file", "file/state"] {
            let shown = folder.path().join(name);
            let (exit, message) = done(Operation::Load, "", &shown.join("snapshots.json"));
            assert_eq!(exit, Exit::Folder, "{message}");
            assert!(message.contains(shown.to_str().unwrap()), "{message}");
            assert!(message.ends_with("name another"), "{message}");
            assert_eq!(
                message.contains("there is no folder"),
                name.starts_with("absent")
            );
            assert_eq!(message.contains("is not a folder"), name == "file");
        }
    }

    #[test]
    fn a_disk_that_is_full_and_a_folder_that_is_gone_are_told_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.json");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let (exit, message) = done(Operation::Save, "good", &path);
        assert_eq!(exit, Exit::Failed);
        let expected = format!("cannot write {}: No space left on device", path.display());
        assert!(message.starts_with(&expected), "{message}");
        std::fs::remove_dir_all(folder.path()).unwrap();
        let (exit, message) = done(Operation::Save, "good", &path);
        assert_eq!(exit, Exit::Failed);
        assert!(message.contains("No such file or directory"), "{message}");
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    }
}
