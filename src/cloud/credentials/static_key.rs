//! A key whose parts the configuration names: in files or in the environment.

use std::path::PathBuf;

use jiff::Timestamp;

use super::local::KeyLocation;
use super::{Unavailable, credential_of, of_key};
use crate::cloud::Credential;
use crate::config::{Environment, ReadText, StaticKey};

impl KeyLocation for StaticKey {
    fn files(&self, _: &Environment) -> Vec<PathBuf> {
        Self::files(self)
    }

    fn read(
        &self,
        environment: &Environment,
        _: Timestamp,
        texts: &ReadText<'_>,
    ) -> Result<Credential, Unavailable> {
        let key = Self::read(self, environment, texts);
        let key = key.map_err(|fault| Unavailable::Broken(of_key(fault)));
        key.map(credential_of)
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
    use crate::config::{IdSource, SecretSource};

    fn key_in_file(path: &Path) -> (Local<StaticKey>, Registry) {
        let sources = StaticKey {
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
        // Told once, with the file.
        let notice = key.take_notice().unwrap();
        assert!(notice.message.contains(path.to_str().unwrap()), "{notice}");
        assert_eq!(key.take_notice(), None);
    }

    #[tokio::test]
    async fn a_key_that_was_never_read_is_an_error_that_says_which_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let (key, _) = key_in_file(&path);
        let error = key.credential().await.unwrap_err().to_string();
        let expected = format!("secret key: the file {} cannot be read", path.display());
        assert!(error.starts_with(&expected), "{error}");
    }
}
