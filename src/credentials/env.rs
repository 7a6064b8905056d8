//! The key in the environment, under the names that the vendor's tools use.

use super::static_key::Sources;
use crate::config::{
    Environment, IdSource, SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE, SecretSource, TOKEN_VARIABLES,
};

/// Where the parts of the key are in `environment`.
pub(super) fn sources(environment: &Environment) -> Sources {
    let token = TOKEN_VARIABLES
        .into_iter()
        .find(|name| environment.get(name).is_some());
    Sources {
        secret_id: IdSource::Env(SECRET_ID_VARIABLE.to_owned()),
        secret_key: SecretSource::Env(SECRET_KEY_VARIABLE.to_owned()),
        token: token.map(|name| SecretSource::Env(name.to_owned())),
    }
}
