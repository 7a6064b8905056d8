//! Collecting every account once, for a person at a terminal, for a script, or for
//! the textfile collector of node_exporter.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;

use prometheus::Registry;
use tracing::Level;

use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::exposition::Exposition;
use crate::failure_log::log_failure;
use crate::fleet::{Fleet, FleetError};

/// Collects every account once, all at a time within the budget. Returns the
/// exposition and whether every account succeeded; the log says which did not.
///
/// # Errors
///
/// When the configuration cannot be put to work or the metrics cannot be rendered.
pub async fn collect(
    config: &Config,
    environment: &Environment,
    clock: &Clock,
) -> Result<(String, bool), FleetError> {
    let registry = Registry::new();
    let fleet = Fleet::new(config, environment, clock, &registry)?;
    fleet.metrics().note_reload(Some(clock.now()));
    let outcomes = fleet.collections().map(|collection| async move {
        let outcome = collection.run().await;
        if let Err(error) = &outcome {
            // The result of the command, so no threshold of the log hides it.
            log_failure(
                Level::ERROR,
                collection.account(),
                collection.collector(),
                error,
            );
        }
        outcome.is_ok()
    });
    let all_succeeded = join_all(outcomes).await.into_iter().all(|good| good);
    let store = Arc::clone(fleet.store());
    let exposition = Exposition::new(registry, store, clock.clone(), None);
    Ok((exposition.render()?, all_succeeded))
}

/// Replaces the file at `path` with `text`, whole or not at all.
///
/// The file becomes readable by everyone: whoever reads textfiles is another user.
///
/// # Errors
///
/// When the folder or the file cannot be written; the old file is then untouched.
pub fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // In the same folder, so that the rename stays within one file system. The name
    // does not end in .prom, so that nobody reads it while it is being written.
    let mut file = tempfile::Builder::new()
        .prefix(".cwp-exporter-")
        .suffix(".tmp")
        .tempfile_in(folder)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_whole_readable_by_all_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cwp.prom");
        std::fs::write(&path, "old").unwrap();
        replace_file(&path, "new\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cwp.prom");
        std::fs::create_dir(&path).unwrap();
        assert!(replace_file(&path, "new\n").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
