//! The key that signs a request.

use std::fmt;

use jiff::Timestamp;

/// A key and, for temporary keys, its token. Never changes: a rotated key is
/// another credential, so no request is signed with halves of two.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    secret_id: String,
    secret_key: String,
    token: Option<String>,
    expires_at: Option<Timestamp>,
    holder: Option<String>,
}

impl Credential {
    /// A credential of the given parts that does not say when it expires.
    #[must_use]
    pub fn new(secret_id: String, secret_key: String, token: Option<String>) -> Self {
        Self {
            secret_id,
            secret_key,
            token,
            expires_at: None,
            holder: None,
        }
    }

    /// The same as a temporary key of `holder`, such as a role, until `expires_at`.
    #[must_use]
    pub fn temporary(self, holder: String, expires_at: Timestamp) -> Self {
        Self {
            expires_at: Some(expires_at),
            holder: Some(holder),
            ..self
        }
    }

    /// When it stops being valid, if it is known to.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Whose quota its requests are charged to: its holder's, which outlives a
    /// temporary key, or its own.
    #[must_use]
    pub fn quota_key(&self) -> &str {
        self.holder.as_deref().unwrap_or(&self.secret_id)
    }

    /// The public name of the key.
    #[must_use]
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// The key itself.
    #[must_use]
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// The token that goes with a temporary key.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// `text` with the secret parts blotted out: an endpoint could echo them.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let secrets = [Some(self.secret_key()), self.token()];
        secrets
            .into_iter()
            .flatten()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| {
                text.replace(secret, "<secret>")
            })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("secret_id", &self.secret_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_debug_output_or_redacted_text_shows_a_secret() {
        let credential = Credential::new(
            "AKIDtest".to_owned(),
            "hunter2".to_owned(),
            Some("t0ken".to_owned()),
        );
        assert_eq!(
            format!("{credential:?}"),
            r#"Credential { secret_id: "AKIDtest", .. }"#
        );
        assert_eq!(
            credential.redact("hunter2 or t0ken?"),
            "<secret> or <secret>?"
        );
    }
}
