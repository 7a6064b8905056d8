//! A key that lies on this machine, where somebody else may replace it.
//!
//! It is read again for each request, so that a rotated key needs no restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tracing::{info, warn};

use super::files::Files;
use super::{Context, Provider, Unavailable};
use crate::cloud::{Credential, Error};
use crate::config::{Environment, ReadText, is_usual_id};
use crate::metrics::ExporterMetrics;
use crate::system::clock::Clock;

/// Where a key lies.
pub(super) trait KeyLocation: Send + Sync + 'static {
    /// The files to read. Without any, the key cannot change while the process runs.
    fn files(&self, environment: &Environment) -> Vec<PathBuf>;

    /// The key of the `texts` of these files.
    fn read(
        &self,
        environment: &Environment,
        now: Timestamp,
        texts: &ReadText<'_>,
    ) -> Result<Credential, Unavailable>;

    /// The place in words.
    fn source(&self, environment: &Environment) -> String;
}

/// Reads a key from its place.
pub(super) struct Local<P> {
    place: P,
    environment: Environment,
    files: Arc<Files>,
    clock: Clock,
    metrics: ExporterMetrics,
    known: Mutex<Known>,
}

/// What was read last.
#[derive(Default)]
struct Known {
    credential: Option<Arc<Credential>>,
    failing: bool,
    /// Why it could not be read again, until somebody takes it to tell.
    notice: Option<Error>,
}

impl<P: KeyLocation> Local<P> {
    pub(super) fn new(place: P, context: &Context) -> Self {
        Self {
            place,
            environment: context.environment.clone(),
            files: Arc::clone(&context.files),
            clock: context.clock.clone(),
            metrics: context.metrics.clone(),
            known: Mutex::default(),
        }
    }

    async fn read_anew(&self, files: Vec<PathBuf>) -> Result<Arc<Credential>, Unavailable> {
        let files = self.files.read(files).await;
        let now = self.clock.now();
        let texts = |path: &Path| files.text(path);
        self.settle(self.place.read(&self.environment, now, &texts), now)
    }

    /// Takes note of what was read and says what to use.
    fn settle(
        &self,
        read: Result<Credential, Unavailable>,
        now: Timestamp,
    ) -> Result<Arc<Credential>, Unavailable> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match (read, &known.credential) {
            (Ok(read), Some(current)) if read == **current => {
                let current = Arc::clone(current);
                known.failing = false;
                Ok(current)
            }
            (Ok(read), current) => {
                if current.is_some() {
                    self.metrics.count_credential_refresh(true);
                    info!(secret_id = read.shown_id(), "credential has changed");
                }
                if !is_usual_id(read.secret_id()) {
                    warn!(
                        source = self.place.source(&self.environment),
                        "the secret id does not look like one, as it does not begin with AKID or \
                         IKID; if the API refuses it, check it"
                    );
                }
                let read = Arc::new(read);
                known.credential = Some(Arc::clone(&read));
                known.failing = false;
                Ok(read)
            }
            // A key file that is being replaced must not cost a collection.
            (Err(error), Some(current)) if !current.has_expired(now) => {
                self.metrics.count_credential_refresh(false);
                let current = Arc::clone(current);
                if !known.failing {
                    known.notice = Some(error.into());
                }
                known.failing = true;
                Ok(current)
            }
            (Err(error), _) => {
                if matches!(error, Unavailable::Broken(_)) {
                    self.metrics.count_credential_refresh(false);
                }
                Err(error)
            }
        }
    }
}

impl<P: KeyLocation> Provider for Local<P> {
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
        Box::pin(async {
            let files = self.place.files(&self.environment);
            match self.current() {
                Some(credential) if files.is_empty() => Ok(credential),
                _ => self.read_anew(files).await,
            }
        })
    }

    fn current(&self) -> Option<Arc<Credential>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.credential.clone()
    }

    /// Reads the files once more: they may have been replaced one by one, and the
    /// refused key have been made of halves of two.
    fn renew<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, ()> {
        Box::pin(async {
            // Why there is none, the next request for a credential tells.
            let files = self.place.files(&self.environment);
            let _ = self.read_anew(files).await;
        })
    }

    fn take_notice(&self) -> Option<Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.notice.take()
    }

    fn source(&self) -> String {
        self.place.source(&self.environment)
    }
}
