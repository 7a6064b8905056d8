//! What was written, whatever the layer: a tree of settings that know their place.

use std::collections::BTreeMap;

use super::problem::Place;
use crate::yaml::is_likely_key;

/// One setting or group of settings.
#[derive(Clone)]
pub(crate) struct Node {
    /// The key as it may be shown, such as `accounts[0].credentials.type`.
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a [`Node`] holds. Has no `Debug`: it can be a secret.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// A number, as text.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// Boxed, as a map has room for several times as many as most groups have.
    Map(BTreeMap<String, Box<Node>>),
}

impl Value {
    /// What this is, to follow "found".
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Appends `segment` to `path`: `accounts`, `accounts[0]`, `accounts[0].name`.
pub(crate) fn join(path: &str, segment: &str) -> String {
    if path.is_empty() || segment.starts_with('[') {
        format!("{path}{segment}")
    } else {
        format!("{path}.{segment}")
    }
}

/// The number in brackets, if `key` is nothing else.
pub(crate) fn index(key: &str) -> Option<usize> {
    let digits = key.strip_prefix('[')?.strip_suffix(']')?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// `key` if it is likely to be one, else a stand-in.
///
/// Only labels and HTTP's versions have a reason for digits.
pub(crate) fn shown<'a>(path: &str, key: &'a str) -> &'a str {
    let has_digits = path.ends_with(".labels") || path == "http_server_config";
    if index(key).is_some() || is_likely_key(key, has_digits) {
        key
    } else {
        "<not shown>"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_code() {
        assert_eq!(join("", "accounts"), "accounts");
        assert_eq!(join("accounts", "[0]"), "accounts[0]");
        assert_eq!(join("accounts[0]", "name"), "accounts[0].name");
    }

    #[test]
    fn a_key_that_may_be_a_secret_is_not_shown() {
        assert_eq!(shown("poll", "max-Age"), "max-Age");
        assert_eq!(shown("accounts[0].labels", "tier2"), "tier2");
        assert_eq!(shown("accounts", "[12]"), "[12]");
        for key in [
            "hunter2",
            "secret_key:hunter",
            "",
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef",
            "[Hunter2]",
            "[+1]",
            "[]",
            "[1\n]",
        ] {
            assert_eq!(shown("accounts[0].credentials", key), "<not shown>");
        }
    }
}
