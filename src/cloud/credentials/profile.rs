//! The key in the credentials file that the vendor's SDKs share.
//!
//! It is present when the file is named by the configuration or by a variable, or
//! exists at one of the usual places.

use std::path::PathBuf;

use jiff::Timestamp;

use super::local::KeyLocation;
use super::{Unavailable, credential_of};
use crate::cloud::Credential;
use crate::config::{Environment, Profile, ReadText};

impl KeyLocation for Profile {
    fn files(&self, environment: &Environment) -> Vec<PathBuf> {
        Self::files(self, environment)
    }

    fn read(
        &self,
        environment: &Environment,
        _: Timestamp,
        texts: &ReadText<'_>,
    ) -> Result<Credential, Unavailable> {
        Ok(credential_of(Self::read(self, environment, texts)?))
    }

    fn source(&self, _: &Environment) -> String {
        format!("profile `{}` of the credentials file", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, refreshes};
    use super::super::{Provider as _, local::Local};
    use super::*;
    use crate::cloud::scripted::Scripted;

    #[tokio::test]
    async fn a_profile_is_read_again_and_the_last_key_survives_a_half_written_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |key: &str| {
            let text = format!("[default]\nsecret_id = AKIDa\nsecret_key = {key}\n");
            std::fs::write(file.path(), text).unwrap();
        };
        let registry = prometheus::Registry::new();
        let context = fixture::context_of(&registry, Scripted::hanging(), []);
        let profile = Profile {
            file: Some(file.path().to_owned()),
            ..Profile::default()
        };
        let provider = Local::new(profile, &context);
        write("old");
        assert_eq!(provider.credential().await.unwrap().secret_key(), "old");
        write("new");
        assert_eq!(provider.credential().await.unwrap().secret_key(), "new");
        write("");
        assert_eq!(provider.credential().await.unwrap().secret_key(), "new");
        assert_eq!(refreshes(&registry), [1.0, 1.0], "failure, success");
    }
}
