//! Where a command's output goes: a file that is replaced whole or not at all, or what is
//! no file and is written through.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::fs::{PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, OFlags, access};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Where the kernel shows the open files of processes, and itself, as files.
const KERNEL_FILES: [&str; 2] = ["/proc", "/sys"];

/// How long a temporary file lies untouched until surely nobody writes it any more.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Where output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output, as it is.
    Standard,
    /// A regular file, or none yet, without a link on the last step: it is replaced.
    File(PathBuf),
    /// A character device, a pipe or a file that is open already: it is written to.
    Through(PathBuf),
}

/// Why output cannot go to a path, in words that follow the path.
#[derive(Debug, thiserror::Error)]
pub enum Unsuitable {
    /// It is of another kind.
    #[error("is {0}; name a file, or `-` for standard output")]
    Kind(&'static str),
    /// The pipe has no reader.
    #[error("is a pipe from which nobody reads; start the reader first")]
    NoReader,
    /// The system refuses.
    #[error("cannot be used: {}; {}", .0, remedy(.0))]
    Io(#[from] io::Error),
}

impl Output {
    /// Where output to `path` goes: links are followed, and `-` is standard output.
    /// Nothing is written yet.
    ///
    /// # Errors
    ///
    /// When `path` is a folder, a socket or a disk, or a pipe from which nobody reads, or
    /// would be a file in a folder in which this user can make none.
    pub fn at(path: &Path) -> Result<Self, Unsuitable> {
        if path == Path::new("-") {
            return Ok(Self::Standard);
        }
        let found = match path.metadata() {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(in_folder(folder(path), error).into()),
        };
        let names_a_folder =
            path.file_name().is_none() || path.as_os_str().as_bytes().ends_with(b"/");
        let kind = found.as_ref().map(Metadata::file_type);
        if names_a_folder || kind.is_some_and(|kind| kind.is_dir()) {
            return Err(Unsuitable::Kind("a folder"));
        }
        let target = follow(path)?;
        if is_standard_output(&target) {
            return Ok(Self::Standard);
        }
        let Some(kind) = kind else {
            return Self::file(target);
        };
        if kind.is_block_device() {
            // Text in place of a file system is never what was meant.
            return Err(Unsuitable::Kind("a disk"));
        }
        if kind.is_socket() {
            return Err(Unsuitable::Kind("a socket"));
        }
        if kind.is_fifo() {
            has_reader(&target)?;
        }
        if kind.is_file() && !is_kernels(&target) {
            return Self::file(target);
        }
        Ok(Self::Through(target))
    }

    /// The path of a regular file, which may be missing. A file that is made in the same
    /// folder replaces the file.
    fn file(target: PathBuf) -> Result<Self, Unsuitable> {
        let place = folder(&target);
        let can_make = access(place, Access::WRITE_OK | Access::EXEC_OK);
        can_make.map_err(|error| in_folder(place, error.into()))?;
        Ok(Self::File(target))
    }

    /// Writes `bytes`: a regular file is replaced whole or not at all and keeps its
    /// permissions and, where this user may give it away, its owner. A new one gets the
    /// permissions `mode`, whatever the umask.
    ///
    /// # Errors
    ///
    /// When the folder or the file cannot be written; a former file is then untouched.
    pub fn write(&self, bytes: &[u8], mode: u32) -> io::Result<()> {
        match self {
            Self::Standard => {
                let mut out = io::stdout().lock();
                match out.write_all(bytes).and_then(|()| out.flush()) {
                    // A reader that has seen enough is no failure.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                    written => written,
                }
            }
            Self::File(path) => {
                replace(path, bytes, mode).map_err(|error| in_folder(folder(path), error))
            }
            Self::Through(path) => {
                // A file that is open already, such as a log, loses nothing.
                let mut file = OpenOptions::new()
                    .append(true)
                    .custom_flags(no_controlling_terminal())
                    .open(path)?;
                file.write_all(bytes)
            }
        }
    }
}

fn no_controlling_terminal() -> i32 {
    i32::try_from(OFlags::NOCTTY.bits()).unwrap_or_default()
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let former = match path.symlink_metadata() {
        Ok(former) if former.is_file() => Some(former),
        Ok(_) => return Err(io::Error::other("it is not a regular file any more")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // In the same folder, so that the rename stays within one file system. Other programs do
    // not look for this ending, so nobody reads a half-written file.
    let mut file = tempfile::Builder::new()
        .prefix(&temporary_prefix(path))
        .suffix(".tmp")
        .tempfile_in(folder(path))?;
    remove_abandoned(path, file.as_file());
    // Not through `tempfile`, which adds its temporary name to an error.
    file.as_file_mut().write_all(bytes)?;
    let mode = match &former {
        Some(former) => {
            keep_owner(file.as_file(), former);
            former.mode() & 0o777
        }
        None => mode,
    };
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// An error that says what it is about: making a file in `folder`.
fn in_folder(folder: &Path, error: io::Error) -> io::Error {
    let folder = folder.display();
    let what = match error.kind() {
        io::ErrorKind::NotFound => format!("there is no folder {folder}"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("there is no room in the folder {folder}")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("this user cannot write to the folder {folder}")
        }
        _ => format!("no file can be made in the folder {folder}"),
    };
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// What to do about an error of [`Output`].
#[must_use]
pub fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create the folder, or name a file in another one",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room there, or name a file on another disk"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "let this user write there, or name a file in another folder"
        }
        _ => "name another file, or `-` for standard output",
    }
}

/// How the names of the temporary files beside `path` begin. One is left behind only
/// where the process is killed.
#[must_use]
pub fn temporary_prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".cwp-exporter-{name}-")
}

/// Removes what killed processes left beside `path`: each file would fill the disk a little
/// more. `new` tells the time as the file system has it.
fn remove_abandoned(path: &Path, new: &File) {
    let Ok(now) = new.metadata().and_then(|new| new.modified()) else {
        return;
    };
    let prefix = temporary_prefix(path);
    let entries = std::fs::read_dir(folder(path)).into_iter().flatten();
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(&prefix) {
            continue;
        }
        let modified = entry.metadata().and_then(|found| found.modified());
        let age = modified.map(|modified| now.duration_since(modified).unwrap_or_default());
        if age.is_ok_and(|age| age > ABANDONED) {
            // In the worst case, one file too many remains.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The folder that `path` is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Gives `file` the owner and the group of `former`, as far as this user may.
fn keep_owner(file: &File, former: &Metadata) {
    let Ok(own) = file.metadata() else {
        return;
    };
    if own.gid() != former.gid() {
        // Not allowed to a user who is in no such group: the file is then his own.
        let _ = fchown(file, None, Some(former.gid()));
    }
    if own.uid() != former.uid() {
        let _ = fchown(file, Some(former.uid()), None);
    }
}

/// The target of `path` after all links, whether the target exists or not. What the kernel
/// shows as a link to an open file stays as it is.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let parent = folder(&path);
        let parent = parent
            .canonicalize()
            .map_err(|error| in_folder(parent, error))?;
        path = parent.join(path.file_name().unwrap_or_default());
        if is_kernels(&path) {
            return Ok(path);
        }
        match path.read_link() {
            Ok(target) => path = parent.join(target),
            // Not a link, or nothing yet.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links"))
}

/// Whether the kernel, and not a file system, says what `path` is.
fn is_kernels(path: &Path) -> bool {
    KERNEL_FILES.iter().any(|folder| path.starts_with(folder))
}

/// Whether `path`, without links, is this process's standard output.
fn is_standard_output(path: &Path) -> bool {
    let own = Path::new("/proc").join(std::process::id().to_string());
    path.file_name().is_some_and(|name| name == "1")
        && (path.parent() == Some(&own.join("fd"))
            || path.parent().is_some_and(|folder| {
                folder.starts_with(own.join("task")) && folder.ends_with("fd")
            }))
}

/// Opening a pipe without a reader would wait for one.
fn has_reader(pipe: &Path) -> Result<(), Unsuitable> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(pipe);
    match opened {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            Err(Unsuitable::NoReader)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    fn put(path: &Path, text: &str) {
        Output::at(path)
            .unwrap()
            .write(text.as_bytes(), 0o644)
            .unwrap();
    }

    fn permissions(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    fn refusal(path: &Path) -> String {
        Output::at(path).unwrap_err().to_string()
    }

    #[test]
    fn a_replaced_file_is_whole_keeps_its_permissions_and_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cwp.prom");
        put(&path, "old\n");
        assert_eq!(permissions(&path), 0o644);
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        put(&path, "new\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(permissions(&path), 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_replaced_file_keeps_its_owner_where_that_may_be_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cwp.prom");
        put(&path, "old\n");
        let given = std::os::unix::fs::chown(&path, Some(65_532), Some(65_533));
        let before = path.metadata().unwrap();
        put(&path, "new\n");
        let after = path.metadata().unwrap();
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        assert_eq!(given.is_ok(), after.uid() == 65_532);
    }

    #[test]
    fn links_stay_and_what_they_name_is_replaced_or_created() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        std::fs::create_dir(&here).unwrap();
        std::fs::create_dir(&there).unwrap();
        symlink("../there/cwp.prom", here.join("direct")).unwrap();
        symlink("direct", here.join("twice")).unwrap();
        symlink(&there, folder.path().join("folder")).unwrap();
        let target = there.join("cwp.prom");
        for (number, path) in [
            here.join("direct"),
            here.join("twice"),
            folder.path().join("folder/cwp.prom"),
        ]
        .iter()
        .enumerate()
        {
            put(path, &number.to_string());
            assert_eq!(
                std::fs::read_to_string(&target).unwrap(),
                number.to_string()
            );
            assert!(target.symlink_metadata().unwrap().is_file());
        }
        for link in [here.join("direct"), here.join("twice")] {
            assert!(link.symlink_metadata().unwrap().is_symlink());
        }
        symlink("circle", here.join("circle")).unwrap();
        assert!(Output::at(&here.join("circle")).is_err());
    }

    #[test]
    fn devices_pipes_and_open_files_are_written_through() {
        let null = Output::at(Path::new("/dev/null")).unwrap();
        assert_eq!(null, Output::Through("/dev/null".into()));
        null.write(b"lost", 0o644).unwrap();
        let full = Output::at(Path::new("/dev/full")).unwrap();
        assert!(full.write(b"lost", 0o644).is_err());

        let folder = tempfile::tempdir().unwrap();
        symlink("/dev/null", folder.path().join("link")).unwrap();
        put(&folder.path().join("link"), "lost");
        assert!(folder.path().join("link").is_symlink());

        let log = folder.path().join("log");
        std::fs::write(&log, "before\n").unwrap();
        let open = File::open(&log).unwrap();
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&open);
        put(Path::new(&format!("/dev/fd/{descriptor}")), "after\n");
        put(Path::new(&format!("/proc/self/fd/{descriptor}")), "end\n");
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text, "before\nafter\nend\n");

        let pipe = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        assert!(refusal(&pipe).contains("nobody reads"));
        // Opened for reading and writing, so that the opening does not wait for another
        // process.
        let both = OpenOptions::new().read(true).write(true).open(&pipe);
        let mut reader = both.unwrap();
        put(&pipe, "text\n");
        let mut text = [0; 5];
        io::Read::read_exact(&mut reader, &mut text).unwrap();
        assert_eq!(&text, b"text\n");
        assert!(pipe.symlink_metadata().unwrap().file_type().is_fifo());
    }

    #[test]
    fn standard_output_is_known_by_all_its_names() {
        for name in [
            "-",
            "/dev/stdout",
            "/dev/fd/1",
            "/proc/self/fd/1",
            "/proc/thread-self/fd/1",
        ] {
            assert_eq!(
                Output::at(Path::new(name)).unwrap(),
                Output::Standard,
                "{name}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("-");
        assert_eq!(
            Output::at(&path).unwrap(),
            Output::File(path.canonicalize().unwrap_or(path))
        );
    }

    #[test]
    fn folders_sockets_and_disks_are_refused_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        assert!(refusal(&socket).contains("a socket"));
        for name in ["", ".", "..", "absent/", "socket/.."] {
            assert!(Output::at(&folder.path().join(name)).is_err(), "{name}");
        }
        assert!(refusal(folder.path()).contains("a folder"));
        assert!(refusal(&folder.path().join("absent/")).contains("a folder"));
        // Made only where this user may make it, which is root.
        let disk = folder.path().join("disk");
        let made = Command::new("mknod")
            .arg(&disk)
            .args(["b", "7", "255"])
            .output();
        if made.is_ok_and(|made| made.status.success()) {
            assert!(refusal(&disk).contains("a disk"));
        }
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cwp.prom");
        put(&path, "old\n");
        let output = Output::at(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(output.write(b"new\n", 0o644).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_or_not_writable_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent");
        let expected = format!(
            "cannot be used: there is no folder {}: No such file or directory (os error 2); create \
             the folder, or name a file in another one",
            absent.display()
        );
        assert_eq!(refusal(&absent.join("cwp.prom")), expected);
        symlink(absent.join("cwp.prom"), folder.path().join("link")).unwrap();
        assert_eq!(refusal(&folder.path().join("link")), expected);

        let locked = folder.path().join("locked");
        std::fs::create_dir(&locked).unwrap();
        put(&locked.join("cwp.prom"), "old\n");
        std::fs::set_permissions(&locked, Permissions::from_mode(0o555)).unwrap();
        // Root may write there all the same.
        if tempfile::tempfile_in(&locked).is_err() {
            for name in ["cwp.prom", "new.prom"] {
                let said = refusal(&locked.join(name));
                assert!(
                    said.contains(&format!("the folder {}:", locked.display())),
                    "{said}"
                );
                assert!(said.contains("let this user write there"), "{said}");
            }
        }
    }
}
