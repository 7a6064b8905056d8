//! A key whose parts the configuration names: in files or in the environment.

use jiff::Timestamp;

use super::Unavailable;
use super::local::Place;
use crate::cloud::Credential;
use crate::config::{Environment, Fault, IdSource, SecretSource};

/// Where the parts of a key are.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) secret_id: IdSource,
    pub(super) secret_key: SecretSource,
    pub(super) token: Option<SecretSource>,
}

impl Place for Sources {
    fn read(&self, environment: &Environment, _: Timestamp) -> Result<Credential, Unavailable> {
        let named = |part, read: Result<String, Fault>| {
            read.map_err(|fault| Unavailable::Broken(format!("{part}: {fault}")))
        };
        let token = self.token.as_ref().map(|token| token.read(environment));
        Ok(Credential::new(
            named("secret id", self.secret_id.read(environment))?,
            named("secret key", self.secret_key.read(environment))?,
            token.map(|token| named("token", token)).transpose()?,
        ))
    }

    fn is_fixed(&self) -> bool {
        let secrets = [Some(&self.secret_key), self.token.as_ref()];
        !matches!(self.secret_id, IdSource::File(_))
            && !secrets
                .iter()
                .any(|secret| matches!(secret, Some(SecretSource::File(_))))
    }

    fn source(&self, _: &Environment) -> String {
        "the configured key".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prometheus::Registry;

    use super::super::fixture::{self, refreshes};
    use super::super::{Provider as _, local::Local};
    use super::*;
    use crate::cloud::scripted::Scripted;

    fn key_in_file(path: &Path) -> (Local<Sources>, Registry) {
        let sources = Sources {
            secret_id: IdSource::Literal("AKIDtest".to_owned()),
            secret_key: SecretSource::File(path.to_owned()),
            token: None,
        };
        let registry = Registry::new();
        let context = fixture::context_of(&registry, Scripted::hanging(), []);
        (Local::new(sources, &context), registry)
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
