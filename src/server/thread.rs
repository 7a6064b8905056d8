//! The thread that serves, apart from the one that collects.
//!
//! Collections wait for the network nearly all the time. On one thread none of them has
//! to wake another one, and if it is the thread that has read the configuration, what
//! they keep fills the memory that reading has left free. One more thread serves far more
//! than Prometheus asks for; what takes long is done on further ones.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::context::TokioContext;

/// A thread for tasks, which ends with this, whatever is under way on it.
#[derive(Debug)]
pub struct ServingThread {
    tasks: Handle,
    _until_dropped: oneshot::Sender<()>,
}

impl ServingThread {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When the system refuses it.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let tasks = runtime.handle().clone();
        let (until_dropped, dropped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("serving".to_owned())
            .spawn(move || {
                // It is never sent anything.
                let _ = runtime.block_on(dropped);
                runtime.shutdown_background();
            })?;
        Ok(Self {
            tasks,
            _until_dropped: until_dropped,
        })
    }

    /// Runs `task` where the caller runs, without waiting for this thread, but with what
    /// it opens watched by this one.
    pub async fn open<T>(&self, task: impl Future<Output = T>) -> T {
        TokioContext::new(task, self.tasks.clone()).await
    }

    /// Runs `task` on it.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn(task)
    }
}
