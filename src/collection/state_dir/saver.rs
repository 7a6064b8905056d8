//! The task that saves the snapshots. Only the end of the process waits for the task, 2 s at
//! the most.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use super::{LOAD_TIME, Loaded, StateDir, StateError, encode};
use crate::collection::snapshot::Store;
use crate::metrics::ExporterMetrics;
use crate::system::clock::Clock;

/// How long after the start the first save comes: a restart after a short run loses nothing.
const FIRST_SAVE: Duration = Duration::from_secs(30);

/// How often the last good values are saved from then on, if any was collected since.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// How long a save may take before the log tells that it does not end.
const SLOW: Duration = Duration::from_secs(10);

/// How long the end waits for the last save.
const LAST_SAVE: Duration = Duration::from_secs(2);

/// A running task that saves.
#[derive(Debug)]
pub struct Saver {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// A load that is under way.
type Loading = Pin<Box<dyn Future<Output = Result<Loaded, StateError>> + Send>>;

impl Saver {
    /// Restores the snapshots of `dir` into `store`, and saves from now on. A folder that does
    /// not answer holds up neither the start nor the collections.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used.
    pub async fn start(
        dir: StateDir,
        store: &Arc<Store>,
        clock: &Clock,
        metrics: &ExporterMetrics,
    ) -> Result<Self, StateError> {
        metrics.start_state_saves();
        let mut task = SaveTask::new(dir, store, clock, metrics);
        let mut loading = task.load();
        let loading = match tokio::time::timeout(LOAD_TIME, &mut loading).await {
            Ok(Err(error @ StateError::Folder(_))) => return Err(error),
            Ok(Ok(loaded)) => {
                if let Loaded::Snapshots(document) = &loaded {
                    let restored = document.restore(store, clock.moment());
                    info!(restored, "restored the last good values");
                }
                log_refused(&loaded);
                None
            }
            Ok(Err(error)) => {
                task.record_failure(&error);
                Some(task.load())
            }
            Err(_) => {
                warn!(
                    file = %task.dir.file.display(),
                    "the state folder does not answer: the exporter starts without the last good values"
                );
                Some(loading)
            }
        };
        let stop = CancellationToken::new();
        let task = AbortOnDropHandle::new(tokio::spawn(task.run(loading, stop.clone())));
        Ok(Self { stop, task })
    }

    /// Saves once more, and gives up if that takes long.
    pub async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(LAST_SAVE, self.task).await.is_err() {
            warn!("the state folder does not answer: the last good values are not saved again");
        }
    }
}

fn log_refused(loaded: &Loaded) {
    if let Loaded::Refused { error, kept_as } = loaded {
        // Without the snapshots, the exporter starts as for the first time.
        warn!(%error, kept_as, "cannot restore the last good values");
    }
}

/// The state of the task.
struct SaveTask {
    dir: StateDir,
    store: Arc<Store>,
    clock: Clock,
    metrics: ExporterMetrics,
    /// The digest of what was saved last.
    saved: Option<[u8; 32]>,
    /// Failures since the last success.
    failures: u64,
}

impl SaveTask {
    fn new(dir: StateDir, store: &Arc<Store>, clock: &Clock, metrics: &ExporterMetrics) -> Self {
        Self {
            dir,
            store: Arc::clone(store),
            clock: clock.clone(),
            metrics: metrics.clone(),
            saved: None,
            failures: 0,
        }
    }

    fn load(&self) -> Loading {
        let dir = self.dir.clone();
        Box::pin(async move { dir.load().await })
    }

    async fn run(mut self, loading: Option<Loading>, stop: CancellationToken) {
        // Nothing is replaced before the present file has been read.
        let mut unknown = loading;
        while let Some(loading) = unknown.take() {
            match loading.await {
                Ok(loaded) => log_refused(&loaded),
                Err(error) => {
                    self.record_failure(&error);
                    if !passes(SAVE_EVERY, &stop).await {
                        return;
                    }
                    unknown = Some(self.load());
                }
            }
        }
        let mut pause = FIRST_SAVE;
        loop {
            let goes_on = passes(pause, &stop).await;
            self.save().await;
            if !goes_on {
                return;
            }
            pause = SAVE_EVERY;
        }
    }

    /// Saves, unless nothing was collected since the last save.
    async fn save(&mut self) {
        let (store, now) = (Arc::clone(&self.store), self.clock.moment());
        let encoded = tokio::task::spawn_blocking(move || encode(&store, now)).await;
        let Ok(Ok(bytes)) = encoded else {
            return;
        };
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        if self.saved == Some(digest) {
            return;
        }
        let dir = self.dir.clone();
        let mut saving = std::pin::pin!(dir.save(&bytes));
        let saved = match tokio::time::timeout(SLOW, &mut saving).await {
            Ok(saved) => saved,
            Err(_) => {
                let error = format!(
                    "writing {} has not ended after {} s",
                    dir.file.display(),
                    SLOW.as_secs()
                );
                self.record_failure(&StateError::Failed(error));
                saving.await
            }
        };
        match saved {
            Ok(()) => {
                self.saved = Some(digest);
                self.metrics.count_state_save(true);
                let failures = std::mem::take(&mut self.failures);
                if failures > 0 {
                    info!(failures, "the last good values are saved again");
                }
            }
            Err(error) => self.record_failure(&error),
        }
    }

    /// Counts a failure, and tells the first of several.
    fn record_failure(&mut self, error: &StateError) {
        self.metrics.count_state_save(false);
        self.failures += 1;
        if self.failures == 1 {
            warn!(
                %error,
                remedy = "check the disk and the permissions of the folder; saving is tried again every five minutes",
                "cannot save the last good values"
            );
        } else {
            debug!(%error, "cannot save the last good values");
        }
    }
}

/// Waits for `time`; says whether it has passed without a stop.
async fn passes(time: Duration, stop: &CancellationToken) -> bool {
    let waited = stop.run_until_cancelled(tokio::time::sleep(time)).await;
    waited.is_some()
}

#[cfg(test)]
mod tests;
