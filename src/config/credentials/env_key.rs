//! The key in the environment, under the names that the vendor's tools use.

use super::key::{Key, NoKey};
use super::other_identity;
use super::{SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE, TOKEN_VARIABLES};
use crate::config::environment::Environment;
use crate::config::problem::Fault;

/// The key of [`Credentials::Env`](super::Credentials::Env).
#[derive(Debug, Clone, Copy)]
pub struct EnvKey;

impl EnvKey {
    /// Reads the key.
    ///
    /// # Errors
    ///
    /// [`NoKey::Absent`] when neither of the two variables that are needed is set; an
    /// empty one counts as not set. [`NoKey::Broken`] when the key is not whole.
    pub fn read(environment: &Environment) -> Result<Key, NoKey> {
        let needed = [SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE];
        let [id, key] = needed.map(|name| environment.get(name));
        let missing = |name: &str, other: &str| {
            NoKey::Broken(
                Fault::new(
                    format!("{other} is set, but {name} is not"),
                    "set both or neither",
                )
                .in_chinese("两个都设置，或都不设置"),
            )
        };
        match (id, key) {
            (Some(_), Some(_)) => {}
            (Some(_), None) => return Err(missing(SECRET_KEY_VARIABLE, SECRET_ID_VARIABLE)),
            (None, Some(_)) => return Err(missing(SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE)),
            (None, None) => {
                return Err(NoKey::Absent(
                    Fault::new(
                        format!("{SECRET_ID_VARIABLE} and {SECRET_KEY_VARIABLE} are not set"),
                        "set both",
                    )
                    .in_chinese("设置这两个变量"),
                ));
            }
        }
        other_identity::refuse_variables(environment).map_err(NoKey::Broken)?;
        let token = environment.first(&TOKEN_VARIABLES);
        let token_name = token.map_or("", |(name, _)| name);
        let names = [SECRET_ID_VARIABLE, SECRET_KEY_VARIABLE, token_name];
        Key::of(names, [id, key, token.map(|(_, token)| token)]).map_err(NoKey::Broken)
    }
}
