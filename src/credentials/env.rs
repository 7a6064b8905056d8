//! The key in the environment, under the names that the vendor's tools use.

use jiff::Timestamp;

use super::Unavailable;
use super::local::Place;
use super::static_key::Sources;
use crate::cloud::Credential;
use crate::config::{
    Environment, IdSource, SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE, SecretSource, TOKEN_VARIABLES,
};

/// The usual variables. They are present when one of the two that are needed is set;
/// an empty one counts as not set.
pub(super) struct Variables;

impl Place for Variables {
    fn read(&self, environment: &Environment, now: Timestamp) -> Result<Credential, Unavailable> {
        let needed = [SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE];
        match needed.map(|name| environment.get(name).is_some()) {
            [true, true] => {}
            [false, false] => {
                return Err(Unavailable::Absent(format!(
                    "{SECRET_ID_VARIABLE} and {SECRET_KEY_VARIABLE} are not set"
                )));
            }
            [id, _] => {
                let [set, missing] = if id {
                    [SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE]
                } else {
                    [SECRET_KEY_VARIABLE, SECRET_ID_VARIABLE]
                };
                return Err(Unavailable::Broken(format!(
                    "{set} is set, but {missing} is not; set both or neither"
                )));
            }
        }
        let token = environment.first(&TOKEN_VARIABLES);
        let sources = Sources {
            secret_id: IdSource::Env(SECRET_ID_VARIABLE.to_owned()),
            secret_key: SecretSource::Env(SECRET_KEY_VARIABLE.to_owned()),
            token: token.map(|(name, _)| SecretSource::Env(name.to_owned())),
        };
        sources.read(environment, now)
    }

    fn is_fixed(&self) -> bool {
        true
    }

    fn source(&self, _: &Environment) -> String {
        "the environment".to_owned()
    }
}
