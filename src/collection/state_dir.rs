//! The last good snapshots on disk. After a restart they are shown with their true age until
//! the first new collection. No secret is among them.
//!
//! A process of its own reads and writes the folder, see [`worker`]: a thread that waits for a
//! disk which hangs keeps its process from ending, also after a SIGKILL, and the ports stay
//! in use.

mod document;
mod saver;
pub mod worker;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

pub use document::{Document, encode};
pub use saver::Saver;
use worker::{Exit, Operation};

use crate::config::Shard;
use crate::system::reading;

/// How long a start waits for the folder.
const LOAD_TIME: Duration = Duration::from_secs(2);

/// Where the snapshots are kept.
#[derive(Debug, Clone)]
pub struct StateDir {
    /// This program, whose hidden command reads and writes the folder.
    program: PathBuf,
    file: PathBuf,
}

/// The snapshots could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder cannot be used at all.
    #[error("--state.dir: {0}")]
    Folder(String),
    /// The file cannot be read, or its content cannot be used.
    #[error("{0}")]
    Refused(String),
    /// The operation failed for another reason.
    #[error("{0}")]
    Failed(String),
}

/// The result of a load.
#[derive(Debug)]
pub enum Loaded {
    /// There is no file.
    Nothing,
    /// The file's snapshots.
    Snapshots(Document),
    /// The file cannot be used.
    Refused {
        /// Why.
        error: StateError,
        /// Where the file is now.
        kept_as: String,
    },
}

impl StateDir {
    /// The snapshots of this process, or of its shard, in `folder`. `program` reads and writes
    /// the file.
    #[must_use]
    pub fn new(program: PathBuf, folder: &Path, shard: Option<Shard>) -> Self {
        let name = match shard {
            Some(shard) => format!("snapshots-{}.json", shard.index()),
            None => "snapshots.json".to_owned(),
        };
        Self {
            program,
            file: folder.join(name),
        }
    }

    /// Makes sure that the start can use `folder`. Blocks while the folder hangs.
    ///
    /// # Errors
    ///
    /// When the folder is missing, is none, or cannot be written to.
    pub fn check(folder: &Path) -> Result<(), StateError> {
        let usable = reading::at(folder, || worker::usable(folder));
        usable.map_err(StateError::Folder)
    }

    /// Reads the saved snapshots. A file that cannot be used is put aside, so that it is
    /// not overwritten.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, or a refused file cannot be put aside.
    pub async fn load(&self) -> Result<Loaded, StateError> {
        let refused = match self.run(Operation::Load, None).await {
            Ok(None) => return Ok(Loaded::Nothing),
            Ok(Some(bytes)) => match Document::parse(&bytes) {
                Ok(document) => return Ok(Loaded::Snapshots(document)),
                Err(problem) => StateError::Refused(format!("{}: {problem}", self.file.display())),
            },
            Err(error @ StateError::Refused(_)) => error,
            Err(error) => return Err(error),
        };
        let kept_as = self.run(Operation::SetAside, None).await?;
        Ok(Loaded::Refused {
            error: refused,
            kept_as: String::from_utf8_lossy(&kept_as.unwrap_or_default()).into_owned(),
        })
    }

    /// Replaces the saved snapshots by `bytes`.
    ///
    /// # Errors
    ///
    /// When the file cannot be replaced; the former one is then untouched.
    pub async fn save(&self, bytes: &[u8]) -> Result<(), StateError> {
        self.run(Operation::Save, Some(bytes)).await.map(|_| ())
    }

    /// Runs `operation` in a process of its own, which is killed when the future is dropped.
    async fn run(
        &self,
        operation: Operation,
        input: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, StateError> {
        let length = input.map_or(0, <[u8]>::len);
        let done = async {
            let mut child = Command::new(&self.program)
                .arg(worker::COMMAND)
                .args([operation.as_str(), &length.to_string()])
                .arg(&self.file)
                .env_clear()
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                // Ctrl-C on a terminal asks this process only.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()?;
            if let Some(mut pipe) = child.stdin.take() {
                // If the other process ends early, its exit status says why.
                let _ = pipe.write_all(input.unwrap_or_default()).await;
            }
            child.wait_with_output().await
        };
        let done: io::Result<_> = done.await;
        let output = done.map_err(|error| {
            StateError::Failed(format!(
                "cannot start the process that reads and writes {}: {error}",
                self.file.display()
            ))
        })?;
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        match output.status.code().and_then(Exit::of) {
            Some(Exit::Done) => Ok(Some(output.stdout)),
            Some(Exit::NoFile) => Ok(None),
            Some(Exit::Folder) => Err(StateError::Folder(message)),
            Some(Exit::Refused) => Err(StateError::Refused(message)),
            Some(Exit::Failed) => Err(StateError::Failed(message)),
            None => Err(StateError::Failed(format!(
                "the process that reads and writes {} has died ({})",
                self.file.display(),
                output.status
            ))),
        }
    }
}
