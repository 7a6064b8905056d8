//! A key whose parts the configuration names: in files or in the environment.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::key::Key;
use super::secret::{IdSource, SecretSource};
use crate::config::environment::Environment;
use crate::config::problem::Fault;
use crate::config::regular_file::ReadText;
use crate::config::serialize::SECRET;

/// Where the parts of a key are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StaticKey {
    /// Where the secret id comes from.
    pub secret_id: IdSource,
    /// Where the secret key comes from.
    pub secret_key: SecretSource,
    /// Where the token of temporary keys comes from.
    pub token: Option<SecretSource>,
}

impl Serialize for StaticKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let id = match &self.secret_id {
            // Somebody may have put the key in its place.
            IdSource::Literal(_) => ("secret_id", SECRET.to_owned()),
            IdSource::Stored(source) => source.entry(["secret_id_file", "secret_id_env"]),
        };
        let key = self.secret_key.entry(["secret_key_file", "secret_key_env"]);
        let token = self.token.as_ref();
        let token = token.map(|token| token.entry(["token_file", "token_env"]));
        serializer.collect_map([id, key].into_iter().chain(token))
    }
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
