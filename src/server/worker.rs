//! Threads of low priority for computations, so that scrapes are answered first on machines
//! with few processors.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// The niceness that is added. Beside a busy thread of the usual priority, such a thread gets
/// about a tenth of the processor.
const NICE: i32 = 10;

/// Runs `compute` to its end on a thread of its own, even if the returned future is dropped.
/// The caller bounds the number of concurrent computations.
///
/// # Errors
///
/// When the system has no thread, or `compute` has panicked.
pub(super) async fn compute<T: Send + 'static>(
    compute: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, result) = oneshot::channel();
    thread::Builder::new()
        .name("computing".to_owned())
        .spawn(move || {
            // If the system refuses, the thread has the usual priority.
            let _ = rustix::process::nice(NICE);
            // The future may have been dropped.
            let _ = sender.send(compute());
        })?;
    result
        .await
        .map_err(|_| io::Error::other("the computation has panicked"))
}
