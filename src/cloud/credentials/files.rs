//! Files that keys are read from while the exporter runs, off its threads.
//!
//! A read from a disk or a mount that hangs cannot be given up: its thread is lost until
//! the mount answers. So a file is read once at a time for all accounts, and the reads from
//! one folder and from all folders are limited. Waiting for a permit needs no thread.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::cloud::{Remedy, deadline};
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
    /// One for each file and folder that is being read from, or waited for.
    semaphores: Mutex<HashMap<PathBuf, Weak<Semaphore>>>,
    all: Arc<Semaphore>,
    read: Arc<TextReader>,
}

type TextReader = dyn Fn(&Path) -> Result<String, NoText> + Send + Sync;

impl Default for Files {
    fn default() -> Self {
        Self::new(read_text)
    }
}

impl Files {
    fn new(read: impl Fn(&Path) -> Result<String, NoText> + Send + Sync + 'static) -> Self {
        Self {
            semaphores: Mutex::default(),
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
        let remedy = Remedy::new(
            "check the disk or mount of the file, which does not answer",
            "检查该文件所在的磁盘或挂载点，它没有响应",
        );
        deadline::step(what, Some(remedy), self.read_within_limits(path)).await
    }

    async fn read_within_limits(&self, path: &Path) -> Result<String, NoText> {
        // The order matters: a read that waits for one file must not hold a permit of the
        // folder.
        let permits = [
            acquire(self.semaphore(path, 1)).await,
            acquire(self.folder_semaphore(path)).await,
            acquire(Arc::clone(&self.all)).await,
        ];
        let (read, path) = (Arc::clone(&self.read), path.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let text = read(&path);
            // Not before: the waiting collection may have given up, and the read goes on.
            drop(permits);
            text
        });
        read.await.unwrap_or_else(|_| Err(not_read()))
    }

    /// Limits the reads from the folder of `path`.
    fn folder_semaphore(&self, path: &Path) -> Arc<Semaphore> {
        self.semaphore(path.parent().unwrap_or(Path::new("")), PER_FOLDER)
    }

    /// Limits the reads from `path` to `count` at a time.
    fn semaphore(&self, path: &Path, count: usize) -> Arc<Semaphore> {
        let mut semaphores = self.semaphores.lock();
        if let Some(known) = semaphores.get(path).and_then(Weak::upgrade) {
            return known;
        }
        semaphores.retain(|_, semaphore| semaphore.strong_count() > 0);
        let new = Arc::new(Semaphore::new(count));
        semaphores.insert(path.to_owned(), Arc::downgrade(&new));
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

/// Reading panicked, or the file was not asked for: a bug.
fn not_read() -> NoText {
    NoText {
        is_absent: false,
        fault: Fault::new("a file was not read", "please report this").in_chinese("请报告此问题"),
    }
}

/// A permit, which always comes in the end: the semaphores are never closed.
async fn acquire(semaphore: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    semaphore.acquire_owned().await.ok()
}

#[cfg(test)]
pub(crate) mod hanging {
    //! A disk on which files can hang.

    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use super::*;

    /// How long a test waits for reads.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Files whose path contains `hung` are not read before this thaws, or is dropped: a test
    /// that fails must not wait for its reads for ever.
    #[derive(Default)]
    pub(crate) struct Disk(Arc<Reads>);

    #[derive(Default)]
    struct Reads {
        state: Mutex<State>,
        changed: Condvar,
    }

    #[derive(Default)]
    struct State {
        thawed: bool,
        /// How many reads of files that hang, or hung, have begun.
        begun: usize,
        /// How many of them hang.
        hung: usize,
    }

    impl Disk {
        /// What reads from the disk.
        pub(crate) fn files(&self) -> Files {
            let reads = Arc::clone(&self.0);
            Files::new(move |path| {
                if path.to_string_lossy().contains("hung") {
                    reads.wait();
                }
                Ok("s3cret".to_owned())
            })
        }

        /// Waits until so many reads hang.
        pub(crate) fn until_hung(&self, count: usize) {
            let Reads { state, changed } = &*self.0;
            let few = |state: &mut State| state.hung < count;
            let waited = changed.wait_timeout_while(state.lock().unwrap(), PATIENCE, few);
            let (state, timeout) = waited.unwrap();
            assert!(!timeout.timed_out(), "{} reads hang", state.hung);
        }

        /// How many reads of files that hang, or hung before the disk thawed, have begun.
        pub(crate) fn begun(&self) -> usize {
            self.0.state.lock().unwrap().begun
        }

        pub(crate) fn hung(&self) -> usize {
            self.0.state.lock().unwrap().hung
        }

        pub(crate) fn thaw(&self) {
            self.0.state.lock().unwrap().thawed = true;
            self.0.changed.notify_all();
        }
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            self.thaw();
        }
    }

    impl Reads {
        fn wait(&self) {
            let mut state = self.state.lock().unwrap();
            state.begun += 1;
            state.hung += 1;
            self.changed.notify_all();
            let state = self.changed.wait_while(state, |state| !state.thawed);
            state.unwrap().hung -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};

    use super::hanging::Disk;
    use super::*;

    /// Waits for `reads`, but not for ever.
    async fn within<T>(what: &str, reads: impl Future<Output = T>) -> T {
        let limit = Duration::from_secs(30);
        let read = tokio::time::timeout(limit, reads).await;
        read.unwrap_or_else(|_| panic!("waited {limit:?} for {what}"))
    }

    #[tokio::test]
    async fn a_file_that_hangs_takes_one_thread_whoever_asks_and_others_are_read() {
        let disk = Disk::default();
        let files = disk.files();
        let hung: Vec<PathBuf> = (0..20).map(|n| format!("/hung/{}", n % 2).into()).collect();
        let mut waiting: FuturesUnordered<_> =
            hung.iter().map(|path| files.read([path.clone()])).collect();
        assert!(waiting.next().now_or_never().is_none());
        disk.until_hung(2);
        for path in ["/good/a", "/good/b"] {
            let read = within("a good file", files.read([path.into()])).await;
            assert_eq!(read.text(Path::new(path)).unwrap(), "s3cret");
        }
        assert_eq!(disk.hung(), 2, "one of each file");
        // Reads that were given up hold no permits and wait for none.
        drop(waiting);
        let again = files.read([hung[0].clone()]);
        let mut again = Box::pin(again);
        assert!((&mut again).now_or_never().is_none());
        disk.thaw();
        let again = within("the thawed file", again).await;
        assert_eq!(again.text(&hung[0]).unwrap(), "s3cret");
        let all = join_all(hung.iter().map(|path| files.read([path.clone()])));
        let all = within("all files", all).await;
        assert_eq!(all.len(), 20);
        assert!(
            files.semaphores.lock().len() <= 3,
            "what is not used is forgotten"
        );
    }

    #[tokio::test]
    async fn a_folder_that_hangs_leaves_threads_to_the_others() {
        let disk = Disk::default();
        let files = disk.files();
        let folder = files.folder_semaphore(Path::new("/hung/any"));
        // All of its permits but two are taken.
        let permits = u32::try_from(PER_FOLDER).unwrap();
        let _taken = folder.acquire_many(permits - 2).await.unwrap();
        let mut waiting: FuturesUnordered<_> = (0..50)
            .map(|n| files.read([format!("/hung/{n}").into()]))
            .collect();
        assert!(waiting.next().now_or_never().is_none());
        disk.until_hung(2);
        assert!(waiting.next().now_or_never().is_none());
        let good = within("a good file", files.read(["/good/a".into()])).await;
        assert!(good.text(Path::new("/good/a")).is_ok());
        assert_eq!(disk.hung(), 2);
        disk.thaw();
        let read: Vec<_> = within("the thawed files", waiting.collect()).await;
        assert_eq!(read.len(), 50);
    }
}
