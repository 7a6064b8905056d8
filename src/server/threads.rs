//! The threads that serve, apart from the one that collects.
//!
//! Collections wait for the network nearly all the time. On one thread none of them has
//! to wake another one, and if it is the thread that has read the configuration, what
//! they keep fills the memory that reading has left free.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// A runtime that ends with this, whatever is under way on it.
#[derive(Debug)]
pub struct Threads {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Threads {
    /// As many threads as there are processors.
    ///
    /// # Errors
    ///
    /// When the system refuses them.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Runs `task` on them.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(task)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime that is merely dropped waits for its threads, which no task may do.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
