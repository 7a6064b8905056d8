//! What the runtimes of the collecting and of the serving thread have in common.

use std::time::Duration;

use tokio::runtime::Builder;

/// How long a blocking thread without work is kept. Such threads take turns: with the default of
/// ten seconds, each of them has work in time, none ever ends, and each holds memory of its own.
const KEEP_ALIVE: Duration = Duration::from_millis(100);

/// A runtime that runs its tasks in one thread, and blocking work in further ones.
#[must_use]
pub fn single_thread() -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().thread_keep_alive(KEEP_ALIVE);
    builder
}
