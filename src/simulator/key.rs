//! The keys and permissions of the simulated API.

use std::fmt;
use std::sync::Arc;

/// A key, with a token if the key is temporary.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SimulatedKey {
    pub(crate) secret_id: String,
    pub(crate) secret_key: String,
    pub(crate) token: Option<String>,
}

impl fmt::Debug for SimulatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedKey")
            .field("secret_id", &self.secret_id)
            .finish_non_exhaustive()
    }
}

/// Whether a key is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyStatus {
    Good,
    /// Its lifetime has ended.
    Expired,
    /// It was revoked before its lifetime ended.
    Revoked,
}

/// The key whose id a request claims.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// The account that it belongs to, by its index in the scenario.
    pub(crate) tenant: usize,
    pub(crate) key: Arc<SimulatedKey>,
    pub(crate) status: KeyStatus,
    pub(crate) permissions: Permissions,
}

/// What an account may do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Permissions(Option<Arc<[String]>>);

impl Permissions {
    /// Patterns such as `cwp:DescribeLicenseGeneral`; everything when absent.
    pub(crate) fn new(patterns: Option<Vec<String>>) -> Self {
        Self(patterns.map(Arc::from))
    }

    /// Whether `pattern` can allow anything.
    pub(crate) fn is_pattern(pattern: &str) -> bool {
        let is_name = |name: &str| {
            let mut bytes = name.bytes();
            !name.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric())
        };
        pattern == "*"
            || pattern.split_once(':').is_some_and(|(service, action)| {
                is_name(service) && (action == "*" || is_name(action))
            })
    }

    /// Whether `action` of `service` is allowed.
    pub(crate) fn allow(&self, service: &str, action: &str) -> bool {
        let is_match = |pattern: &String| match pattern.split_once(':') {
            Some((product, name)) => product == service && (name == "*" || name == action),
            None => pattern == "*",
        };
        let patterns = self.0.as_ref();
        patterns.is_none_or(|patterns| patterns.iter().any(is_match))
    }
}
