//! Files that are replaced whole or not at all.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Replaces the file at `path` with `bytes`, whole or not at all. It gets the
/// permissions `mode`, whatever the umask.
///
/// # Errors
///
/// When the folder or the file cannot be written; the old file is then untouched.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // In the same folder, so that the rename stays within one file system. The name
    // has an ending that nobody looks for, so that no one reads half of it.
    let mut file = tempfile::Builder::new()
        .prefix(".cwp-exporter-")
        .suffix(".tmp")
        .tempfile_in(folder)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_whole_has_its_permissions_and_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cwp.prom");
        for (text, mode) in [("old", 0o600), ("new\n", 0o644)] {
            replace(&path, text.as_bytes(), mode).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            let permissions = std::fs::metadata(&path).unwrap().permissions();
            assert_eq!(permissions.mode() & 0o777, mode);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cwp.prom");
        std::fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"new\n", 0o644).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
