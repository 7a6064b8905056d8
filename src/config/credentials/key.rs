//! A key as it is kept on this machine.

use std::fmt;

use crate::config::problem::Fault;

use super::form::{check_pair, is_usual_id, word};

/// A key as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The public name of the key.
    pub secret_id: String,
    /// The key itself.
    pub secret_key: String,
    /// The token that goes with a temporary key.
    pub token: Option<String>,
}

impl Key {
    /// A key of `parts`, by `names`: id, key and token. An absent or empty token is
    /// none; any other part that is absent, empty or no single word is a fault.
    pub(super) fn of(names: [&str; 3], parts: [Option<&str>; 3]) -> Result<Self, Fault> {
        let [id_name, key_name, token_name] = names;
        let [id, key, token] =
            parts.map(|part| part.map(str::trim).filter(|part| !part.is_empty()));
        let good = |name: &str, part: &str| {
            let part = word(part).map(str::to_owned);
            part.map_err(|fault| fault.within(name))
        };
        let needed = |name: &str, part: Option<&str>| match part {
            Some(part) => good(name, part),
            None => Err(
                Fault::new(format!("{name} is missing or empty"), format!("add {name}"))
                    .in_chinese(format!("添加 {name}")),
            ),
        };
        let key = Self {
            secret_id: needed(id_name, id)?,
            secret_key: needed(key_name, key)?,
            token: token.map(|token| good(token_name, token)).transpose()?,
        };
        key.check_pair().map_err(|fault| fault.within(id_name))?;
        Ok(key)
    }

    /// The problem of the parts, if they cannot belong to one key.
    pub(in crate::config) fn check_pair(&self) -> Result<(), Fault> {
        check_pair(&self.secret_id, &self.secret_key)
    }

    /// Whether its id looks like a secret id.
    #[must_use]
    pub fn has_usual_id(&self) -> bool {
        is_usual_id(&self.secret_id)
    }
}

/// Nothing of the key shows: what is taken for the id may be the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// Why a source has no usable key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoKey {
    /// The source was never given any.
    Absent(Fault),
    /// The source holds something that is no usable key.
    Broken(Fault),
}

/// What is wrong, if the source was asked for.
impl From<NoKey> for Fault {
    fn from(no_key: NoKey) -> Self {
        let (NoKey::Absent(fault) | NoKey::Broken(fault)) = no_key;
        fault
    }
}
