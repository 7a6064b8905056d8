//! A key that lies on this machine, where somebody else may replace it.
//!
//! It is read again for each request, so that a rotated key needs no restart.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tracing::{info, warn};

use super::{Context, Provider, Unavailable};
use crate::clock::Clock;
use crate::cloud::Credential;
use crate::config::Environment;
use crate::metrics::ExporterMetrics;

/// Where a key lies.
pub(super) trait Place: Send + Sync + 'static {
    /// Reads the key as it is now. May block on files.
    fn read(&self, environment: &Environment, now: Timestamp) -> Result<Credential, Unavailable>;

    /// Whether the key cannot change while the process runs.
    fn is_fixed(&self) -> bool {
        false
    }

    /// The place in words.
    fn source(&self, environment: &Environment) -> String;
}

/// Reads a key from its place.
pub(super) struct Local<P> {
    place: Arc<P>,
    environment: Environment,
    clock: Clock,
    metrics: ExporterMetrics,
    known: Mutex<Known>,
}

/// What was read last.
#[derive(Default)]
struct Known {
    credential: Option<Arc<Credential>>,
    failing: bool,
}

impl<P: Place> Local<P> {
    pub(super) fn new(place: P, context: &Context) -> Self {
        Self {
            place: Arc::new(place),
            environment: context.environment.clone(),
            clock: context.clock.clone(),
            metrics: context.metrics.clone(),
            known: Mutex::default(),
        }
    }

    async fn read_anew(&self) -> Result<Arc<Credential>, Unavailable> {
        let place = Arc::clone(&self.place);
        let environment = self.environment.clone();
        let now = self.clock.now();
        let read = tokio::task::spawn_blocking(move || place.read(&environment, now))
            .await
            .unwrap_or_else(|error| Err(Unavailable::Broken(error.to_string())));
        self.settle(read, now)
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
                    info!(secret_id = read.secret_id(), "credential has changed");
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
                    warn!(secret_id = current.secret_id(), %error, "cannot read the credential again, the last one stays in use");
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

impl<P: Place> Provider for Local<P> {
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
        Box::pin(async {
            if self.place.is_fixed() {
                if let Some(credential) = self.current() {
                    return Ok(credential);
                }
                // There is no file to wait for.
                let now = self.clock.now();
                return self.settle(self.place.read(&self.environment, now), now);
            }
            self.read_anew().await
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
            let _ = self.read_anew().await;
        })
    }

    fn source(&self) -> String {
        self.place.source(&self.environment)
    }
}
