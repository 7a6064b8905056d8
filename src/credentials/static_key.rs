//! A key whose parts the configuration names: in files, which are read again for
//! each request so that a rotated key needs no restart, or in the environment.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tracing::{info, warn};

use super::{Context, Provider, Unavailable};
use crate::cloud::Credential;
use crate::config::{Environment, Fault, IdSource, SecretSource};
use crate::metrics::ExporterMetrics;

/// Where the parts of a key are.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) secret_id: IdSource,
    pub(super) secret_key: SecretSource,
    pub(super) token: Option<SecretSource>,
}

impl Sources {
    /// Reads the key as it is now. May block on files.
    fn read(&self, environment: &Environment) -> Result<Credential, Unavailable> {
        let named = |part, read: Result<String, Fault>| {
            read.map_err(|fault| Unavailable(format!("{part}: {fault}")))
        };
        let token = self.token.as_ref().map(|token| token.read(environment));
        Ok(Credential::new(
            named("secret id", self.secret_id.read(environment))?,
            named("secret key", self.secret_key.read(environment))?,
            token.map(|token| named("token", token)).transpose()?,
        ))
    }

    /// Whether the key can change while the process runs.
    fn are_fixed(&self) -> bool {
        let secrets = [Some(&self.secret_key), self.token.as_ref()];
        !matches!(self.secret_id, IdSource::File(_))
            && !secrets
                .iter()
                .any(|secret| matches!(secret, Some(SecretSource::File(_))))
    }
}

/// Reads a key from its sources.
pub(super) struct StaticKey {
    sources: Arc<Sources>,
    place: &'static str,
    environment: Environment,
    metrics: ExporterMetrics,
    known: Mutex<Known>,
}

/// What was read last.
#[derive(Default)]
struct Known {
    credential: Option<Arc<Credential>>,
    failing: bool,
}

impl StaticKey {
    pub(super) fn new(sources: Sources, place: &'static str, context: &Context) -> Self {
        Self {
            sources: Arc::new(sources),
            place,
            environment: context.environment.clone(),
            metrics: context.metrics.clone(),
            known: Mutex::default(),
        }
    }

    async fn read_anew(&self) -> Result<Arc<Credential>, Unavailable> {
        let sources = Arc::clone(&self.sources);
        let environment = self.environment.clone();
        let read = tokio::task::spawn_blocking(move || sources.read(&environment))
            .await
            .unwrap_or_else(|error| Err(Unavailable(error.to_string())));
        self.settle(read)
    }

    /// Takes note of what was read and says what to use.
    fn settle(
        &self,
        read: Result<Credential, Unavailable>,
    ) -> Result<Arc<Credential>, Unavailable> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match (read, &known.credential) {
            (Ok(credential), Some(current)) if credential == **current => {
                known.failing = false;
            }
            (Ok(credential), current) => {
                if current.is_some() {
                    self.metrics.count_credential_refresh(true);
                    info!(secret_id = credential.secret_id(), "credential has changed");
                }
                known.credential = Some(Arc::new(credential));
                known.failing = false;
            }
            // A key file that is being replaced must not cost a collection.
            (Err(error), Some(current)) => {
                self.metrics.count_credential_refresh(false);
                if !known.failing {
                    warn!(secret_id = current.secret_id(), %error, "cannot read the credential again, the last one stays in use");
                }
                known.failing = true;
            }
            (Err(error), None) => {
                self.metrics.count_credential_refresh(false);
                return Err(error);
            }
        }
        known
            .credential
            .clone()
            .ok_or_else(|| Unavailable("no credential was read".to_owned()))
    }
}

impl Provider for StaticKey {
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
        Box::pin(async {
            if self.sources.are_fixed()
                && let Some(credential) = self.current()
            {
                return Ok(credential);
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
        self.place.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prometheus::Registry;

    use super::*;
    use crate::cloud::scripted::{self, Scripted};

    fn key_in_file(path: &Path) -> (StaticKey, Registry) {
        let registry = Registry::new();
        let sources = Sources {
            secret_id: IdSource::Literal("AKIDtest".to_owned()),
            secret_key: SecretSource::File(path.to_owned()),
            token: None,
        };
        let context = Context {
            environment: Environment::default(),
            http: Scripted::hanging(),
            clock: scripted::clock(),
            metrics: ExporterMetrics::register(&registry).unwrap(),
        };
        (StaticKey::new(sources, "a test", &context), registry)
    }

    fn refreshes(registry: &Registry) -> Vec<f64> {
        registry
            .gather()
            .iter()
            .filter(|family| family.name() == "cwp_exporter_credential_refreshes_total")
            .flat_map(|family| family.get_metric())
            .map(|metric| metric.get_counter().get_value())
            .collect()
    }

    #[tokio::test]
    async fn a_key_that_changes_in_its_file_is_used_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "old\n").unwrap();
        let (key, registry) = key_in_file(&path);
        assert_eq!(key.credential().await.unwrap().secret_key(), "old");
        assert_eq!(key.credential().await.unwrap().secret_key(), "old");
        assert_eq!(refreshes(&registry), [0.0, 0.0]);

        std::fs::write(&path, "new").unwrap();
        assert_eq!(key.credential().await.unwrap().secret_key(), "new");
        assert_eq!(refreshes(&registry), [0.0, 1.0], "failure, success");
    }

    #[tokio::test]
    async fn a_key_file_that_is_gone_or_empty_leaves_the_last_key_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "old").unwrap();
        let (key, registry) = key_in_file(&path);
        key.credential().await.unwrap();

        std::fs::write(&path, " \n").unwrap();
        assert_eq!(key.credential().await.unwrap().secret_key(), "old");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(key.credential().await.unwrap().secret_key(), "old");
        assert_eq!(refreshes(&registry), [2.0, 0.0], "failure, success");
    }

    #[tokio::test]
    async fn a_key_that_was_never_read_is_an_error_that_says_which_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let (key, _) = key_in_file(&path);
        let error = key.credential().await.unwrap_err().to_string();
        assert!(error.starts_with("secret key: the file"), "{error}");
    }
}
