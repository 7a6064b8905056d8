//! Threads for what computes: of low priority, so that scrapes are answered first where
//! processors are few.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// How much lower the priority is, as `nice` counts. A thread of this priority gets about
/// a tenth of the time that one of the usual priority gets, if both want all of it.
const NICE: i32 = 10;

/// What `compute` returns, which runs on a thread of its own, to its end even if the
/// caller leaves. The caller bounds how many there are at a time.
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
            // A system that refuses it has the usual priority.
            let _ = rustix::process::nice(NICE);
            // The caller may have left.
            let _ = sender.send(compute());
        })?;
    result
        .await
        .map_err(|_| io::Error::other("the computation has panicked"))
}
