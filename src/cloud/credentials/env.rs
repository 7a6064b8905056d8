//! The key in the environment, under the names that the vendor's tools use.

use std::path::PathBuf;

use jiff::Timestamp;

use super::local::KeyLocation;
use super::{Unavailable, credential_of};
use crate::cloud::Credential;
use crate::config::{EnvKey, Environment, ReadText};

impl KeyLocation for EnvKey {
    fn files(&self, _: &Environment) -> Vec<PathBuf> {
        Vec::new()
    }

    fn read(
        &self,
        environment: &Environment,
        _: Timestamp,
        _: &ReadText<'_>,
    ) -> Result<Credential, Unavailable> {
        Ok(credential_of(Self::read(environment)?))
    }

    fn source(&self, _: &Environment) -> String {
        "the environment".to_owned()
    }
}
