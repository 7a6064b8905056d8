//! The serving thread, separate from the collecting thread.
//!
//! Collections wait for the network nearly all the time, so one thread runs all of them. It is
//! the thread that has read the configuration: their memory reuses what the reading has freed.
//! One more thread serves far more scrapes than Prometheus sends; long computations run on
//! further threads.

use std::io;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::context::TokioContext;

use crate::system::runtime;

/// A thread with a runtime for tasks. Dropping it ends the thread and drops its tasks.
#[derive(Debug)]
pub struct ServingThread {
    runtime: Handle,
    _until_dropped: oneshot::Sender<()>,
}

impl ServingThread {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread or a runtime.
    pub fn start() -> io::Result<Self> {
        let runtime = runtime::single_thread().build()?;
        let handle = runtime.handle().clone();
        let (until_dropped, dropped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("serving".to_owned())
            .spawn(move || {
                // Nothing is ever sent.
                let _ = runtime.block_on(dropped);
                runtime.shutdown_background();
            })?;
        Ok(Self {
            runtime: handle,
            _until_dropped: until_dropped,
        })
    }

    /// Polls `task` in the caller's thread, and registers its sockets with the driver of this
    /// runtime.
    pub async fn open<T>(&self, task: impl Future<Output = T>) -> T {
        TokioContext::new(task, self.runtime.clone()).await
    }

    /// Runs `task` on this thread.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(task)
    }
}
