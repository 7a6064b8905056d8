//! Files that keys are read from while the exporter runs, off its threads.
//!
//! A read from a disk or a mount that hangs cannot be given up: its thread is lost until
//! the mount answers. So a file is read once at a time, whoever asks, and the reads of one
//! folder and of all folders are limited. Whoever waits for a turn needs no thread.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::cloud::deadline;
use crate::config::{Fault, NoText, read_text, shown_path};

/// How many files of one folder are read at a time: if the folder is on a mount that hangs,
/// so many threads are lost.
const PER_FOLDER: usize = 768;

/// How many files are read at a time.
///
/// The runtime must have more threads for blocking work than this.
pub const MAX_READS: usize = 1024;

/// Reads files.
pub struct Files {
    /// Of the files and folders that are being read from, or are waited for.
    turns: Mutex<HashMap<PathBuf, Weak<Semaphore>>>,
    all: Arc<Semaphore>,
    read: Arc<ReadText>,
}

type ReadText = dyn Fn(&Path) -> Result<String, NoText> + Send + Sync;

impl Default for Files {
    fn default() -> Self {
        Self::new(read_text)
    }
}

impl Files {
    fn new(read: impl Fn(&Path) -> Result<String, NoText> + Send + Sync + 'static) -> Self {
        Self {
            turns: Mutex::default(),
            all: Arc::new(Semaphore::new(MAX_READS)),
            read: Arc::new(read),
        }
    }

    /// The texts of these small files as they are now.
    pub(super) async fn read(&self, paths: impl IntoIterator<Item = PathBuf>) -> FilesRead {
        let mut texts = Vec::new();
        for path in paths {
            let text = self.read_one(&path).await;
            texts.push((path, text));
        }
        FilesRead(texts)
    }

    async fn read_one(&self, path: &Path) -> Result<String, NoText> {
        let what = format!("the file {}", shown_path(path));
        let remedy = "check that the file can be read at once: the disk or mount that it is on \
                      does not answer";
        deadline::step(what, Some(remedy), self.read_in_turn(path)).await
    }

    async fn read_in_turn(&self, path: &Path) -> Result<String, NoText> {
        let folder = path.parent().unwrap_or(Path::new(""));
        // In this order, so that those who wait for one file hold no place of its folder.
        let turns = [
            turn(self.turns_at(path, 1)).await,
            turn(self.turns_at(folder, PER_FOLDER)).await,
            turn(Arc::clone(&self.all)).await,
        ];
        let (read, path) = (Arc::clone(&self.read), path.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let text = read(&path);
            // Not before: whoever waits for the text may have given up.
            drop(turns);
            text
        });
        read.await.unwrap_or_else(|_| Err(not_read()))
    }

    /// What lets `count` at a time read from `place`.
    fn turns_at(&self, place: &Path, count: usize) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = turns.get(place).and_then(Weak::upgrade) {
            return known;
        }
        turns.retain(|_, turns| turns.strong_count() > 0);
        let new = Arc::new(Semaphore::new(count));
        turns.insert(place.to_owned(), Arc::downgrade(&new));
        new
    }
}

/// The texts of some files.
pub(super) struct FilesRead(Vec<(PathBuf, Result<String, NoText>)>);

impl FilesRead {
    /// The text of the file at `path`, one of them.
    pub(super) fn text(&self, path: &Path) -> Result<String, NoText> {
        let known = self.0.iter().find(|(known, _)| known == path);
        known.map_or_else(|| Err(not_read()), |(_, text)| text.clone())
    }
}

/// Reading panicked, or nobody asked for the file: a bug.
fn not_read() -> NoText {
    NoText {
        is_absent: false,
        fault: Fault::new("a file was not read", "please report this"),
    }
}

/// A turn, which is always had in the end: the semaphores are never closed.
async fn turn(turns: Arc<Semaphore>) -> (Option<OwnedSemaphorePermit>, Arc<Semaphore>) {
    let turn = Arc::clone(&turns).acquire_owned().await.ok();
    (turn, turns)
}

#[cfg(test)]
pub(crate) mod hanging {
    //! A disk on which files can hang.

    use std::sync::Condvar;

    use super::*;

    /// Files whose path contains `hung` are not read before this thaws.
    #[derive(Default)]
    pub(crate) struct Disk {
        state: Mutex<State>,
        changed: Condvar,
    }

    #[derive(Default)]
    struct State {
        thawed: bool,
        /// How many reads hang.
        hung: usize,
    }

    impl Disk {
        /// What reads from the disk.
        pub(crate) fn files(self: &Arc<Self>) -> Files {
            let disk = Arc::clone(self);
            Files::new(move |path| {
                if path.to_string_lossy().contains("hung") {
                    disk.wait();
                }
                Ok("s3cret".to_owned())
            })
        }

        fn wait(&self) {
            let mut state = self.state.lock().unwrap();
            state.hung += 1;
            self.changed.notify_all();
            let state = self.changed.wait_while(state, |state| !state.thawed);
            state.unwrap().hung -= 1;
        }

        /// Waits until so many reads hang.
        pub(crate) fn until_hung(&self, count: usize) {
            let state = self.state.lock().unwrap();
            drop(self.changed.wait_while(state, |state| state.hung < count));
        }

        pub(crate) fn hung(&self) -> usize {
            self.state.lock().unwrap().hung
        }

        pub(crate) fn thaw(&self) {
            self.state.lock().unwrap().thawed = true;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};

    use super::hanging::Disk;
    use super::*;

    #[tokio::test]
    async fn a_file_that_hangs_takes_one_thread_whoever_asks_and_others_are_read() {
        let disk = Arc::new(Disk::default());
        let files = disk.files();
        let hung: Vec<PathBuf> = (0..20).map(|n| format!("/hung/{}", n % 2).into()).collect();
        let mut waiting: FuturesUnordered<_> =
            hung.iter().map(|path| files.read([path.clone()])).collect();
        assert!(waiting.next().now_or_never().is_none());
        disk.until_hung(2);
        for path in ["/good/a", "/good/b"] {
            let read = files.read([PathBuf::from(path)]).await;
            assert_eq!(read.text(Path::new(path)).unwrap(), "s3cret");
        }
        assert_eq!(disk.hung(), 2, "one of each file");
        // Whoever has given up leaves no turn behind, and takes none.
        drop(waiting);
        let again = files.read([hung[0].clone()]);
        let mut again = Box::pin(again);
        assert!((&mut again).now_or_never().is_none());
        disk.thaw();
        assert_eq!(again.await.text(&hung[0]).unwrap(), "s3cret");
        let all = join_all(hung.iter().map(|path| files.read([path.clone()]))).await;
        assert_eq!(all.len(), 20);
        assert!(
            files.turns.lock().unwrap().len() <= 3,
            "what is not used is forgotten"
        );
    }

    #[tokio::test]
    async fn a_folder_that_hangs_leaves_threads_to_the_others() {
        let disk = Arc::new(Disk::default());
        let files = disk.files();
        let folder = files.turns_at(Path::new("/hung"), PER_FOLDER);
        // All of its places but two are taken.
        let places = u32::try_from(PER_FOLDER).unwrap();
        let _taken = folder.acquire_many(places - 2).await.unwrap();
        let mut waiting: FuturesUnordered<_> = (0..50)
            .map(|n| files.read([PathBuf::from(format!("/hung/{n}"))]))
            .collect();
        assert!(waiting.next().now_or_never().is_none());
        disk.until_hung(2);
        assert!(waiting.next().now_or_never().is_none());
        let good = files.read([PathBuf::from("/good/a")]).await;
        assert!(good.text(Path::new("/good/a")).is_ok());
        assert_eq!(disk.hung(), 2);
        disk.thaw();
        let read: Vec<_> = waiting.collect().await;
        assert_eq!(read.len(), 50);
    }
}
