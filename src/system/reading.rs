//! Reads files on threads that may wait, and tells which file hangs.
//!
//! A read from a disk or a mount that hangs cannot be given up: its thread is lost until
//! the mount answers. The task that waits for that thread can go on, and name the file.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long reading one file may take before the file is reported to hang.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What to do about a file that hangs.
pub const REMEDY: &str =
    "check the disk or mount of the file, which does not answer, or name another file";

thread_local! {
    /// The place where the work of this thread notes the file that it reads, if a task waits
    /// for the work.
    static NOTED: RefCell<Option<Arc<Progress>>> = const { RefCell::new(None) };
}

/// Which file or folder is being read, and since when.
#[derive(Default)]
pub struct Progress(Mutex<Option<(PathBuf, Instant)>>);

impl Progress {
    /// Does `work` on this thread, which notes its files by [`at`].
    pub fn of<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        NOTED.set(Some(Arc::clone(self)));
        let done = work();
        NOTED.take();
        done
    }

    /// Waits until one file takes longer than `patience`, and returns it.
    pub async fn hangs(&self, patience: Duration) -> PathBuf {
        let mut next_look = Instant::now() + patience;
        loop {
            tokio::time::sleep_until(next_look).await;
            let now = Instant::now();
            let at = self.0.lock().clone();
            let since = at.as_ref().map_or(now, |(_, since)| *since);
            match at {
                Some((path, _)) if now.duration_since(since) >= patience => return path,
                _ => next_look = since + patience,
            }
        }
    }
}

/// Notes that this thread reads the file or folder `path` as long as `read` runs.
pub fn at<T>(path: &Path, read: impl FnOnce() -> T) -> T {
    let progress = NOTED.with_borrow(Clone::clone);
    let note = |at| {
        if let Some(progress) = &progress {
            *progress.0.lock() = at;
        }
    };
    note(Some((path.to_owned(), Instant::now())));
    let read = read();
    note(None);
    read
}

/// Does `work` on a thread of its own, which notes its files by [`at`].
///
/// # Errors
///
/// The file that is being read, once that takes longer than `patience`. The work goes on,
/// and its outcome is dropped.
pub async fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PathBuf> {
    let progress = Arc::<Progress>::default();
    let noted = Arc::clone(&progress);
    let work = tokio::task::spawn_blocking(move || noted.of(work));
    tokio::select! {
        done = work => Ok(done.unwrap_or_else(|panicked| {
            std::panic::resume_unwind(panicked.into_panic())
        })),
        path = progress.hangs(patience) => Err(path),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_is_waited_for_and_its_panic_comes_through() {
        let done = within(PATIENCE, || at(Path::new("/a"), || 7)).await;
        assert_eq!(done, Ok(7));
        let waiting = tokio::spawn(within(PATIENCE, || panic!("as it was")));
        assert!(waiting.await.unwrap_err().is_panic());
    }

    #[tokio::test(start_paused = true)]
    async fn the_file_that_hangs_is_named_and_what_takes_long_in_all_is_not() {
        let (thaw, hung) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let progress = Arc::<Progress>::default();
        let noted = Arc::clone(&progress);
        let work = tokio::task::spawn_blocking(move || {
            noted.of(|| {
                for path in ["/first", "/second"] {
                    at(Path::new(path), || {
                        tell.send(()).unwrap();
                        hung.recv().unwrap();
                    });
                }
                // This computes, and reads nothing.
                tell.send(()).unwrap();
                hung.recv().unwrap();
            });
        });
        // The clock stands while a thread works: only this test moves it.
        let hangs = async |by: Duration| {
            let waiting = tokio::time::timeout(by, progress.hangs(PATIENCE));
            let (path, ()) = tokio::join!(waiting, tokio::time::advance(by));
            path.ok()
        };
        told.recv().unwrap();
        assert_eq!(hangs(PATIENCE).await, Some("/first".into()));
        thaw.send(()).unwrap();
        told.recv().unwrap();
        assert_eq!(hangs(PATIENCE / 2).await, None);
        assert_eq!(hangs(PATIENCE).await, Some("/second".into()));
        thaw.send(()).unwrap();
        told.recv().unwrap();
        assert_eq!(hangs(10 * PATIENCE).await, None);
        thaw.send(()).unwrap();
        work.await.unwrap();
    }
}
