//! A key whose parts the configuration names: in files or in the environment.

use std::path::PathBuf;

use serde::Serialize;

use super::key::Key;
use super::secret::{IdSource, ReadText, SecretSource};
use crate::config::environment::Environment;
use crate::config::problem::Fault;
use crate::config::show;

/// Where the parts of a key are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct StaticKey {
    /// Where the secret id comes from.
    #[serde(flatten)]
    pub secret_id: IdSource,
    /// Where the secret key comes from.
    #[serde(flatten, serialize_with = "show::secret_key")]
    pub secret_key: SecretSource,
    /// Where the token of temporary keys comes from.
    #[serde(flatten, serialize_with = "show::token")]
    pub token: Option<SecretSource>,
}

impl StaticKey {
    /// The files that hold a part of it.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let secrets = [Some(&self.secret_key), self.token.as_ref()];
        let secrets = secrets.into_iter().flatten().map(SecretSource::file);
        let files = [self.secret_id.file()].into_iter().chain(secrets);
        files.flatten().map(Into::into).collect()
    }

    /// Reads the key; the files' texts are asked of `texts`.
    ///
    /// # Errors
    ///
    /// When a part cannot be read, or the parts cannot be those of one key.
    pub fn read(&self, environment: &Environment, texts: &ReadText<'_>) -> Result<Key, Fault> {
        let key = self.parts(environment, texts)?;
        key.check_pair()
            .map_err(|fault| fault.within("secret id"))?;
        Ok(key)
    }

    /// Reads the parts, whether they fit together or not.
    pub(in crate::config) fn parts(
        &self,
        environment: &Environment,
        texts: &ReadText<'_>,
    ) -> Result<Key, Fault> {
        let secret = |name: &str, source: &SecretSource| {
            let read = source.read(environment, texts);
            read.map_err(|fault| fault.within(name))
        };
        let secret_id = self.secret_id.read(environment, texts);
        let token = self.token.as_ref();
        Ok(Key {
            secret_id: secret_id.map_err(|fault| fault.within("secret id"))?,
            secret_key: secret("secret key", &self.secret_key)?,
            token: token.map(|token| secret("token", token)).transpose()?,
        })
    }
}
