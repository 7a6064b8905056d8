//! The key that signs a request.

use std::fmt;

use jiff::Timestamp;

use crate::config::is_usual_id;

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

    /// When the credential expires, if that is known.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Whether it is known to have stopped being valid by `now`.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
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

    /// The public name of the key as it may be shown: one that does not look like a
    /// secret id could be the key itself, put in the wrong place.
    #[must_use]
    pub fn shown_id(&self) -> &str {
        if is_usual_id(&self.secret_id) {
            &self.secret_id
        } else {
            "<not shown>"
        }
    }

    /// The parts that must not be shown.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let id = (!is_usual_id(&self.secret_id)).then_some(self.secret_id.as_str());
        id.into_iter()
            .chain([self.secret_key.as_str()])
            .chain(self.token.as_deref())
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("secret_id", &self.shown_id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_the_id_alone_and_only_if_it_looks_like_one() {
        let shown = |id: &str| {
            let token = Some("t0ken".to_owned());
            format!(
                "{:?}",
                Credential::new(id.to_owned(), "hunter2".to_owned(), token)
            )
        };
        assert_eq!(
            shown("AKIDtest"),
            r#"Credential { secret_id: "AKIDtest", .. }"#
        );
        assert_eq!(
            shown("hunter2"),
            r#"Credential { secret_id: "<not shown>", .. }"#
        );
    }

    #[test]
    fn a_temporary_key_expires_and_its_holder_stays() {
        let key = Credential::new("AKIDa".to_owned(), "a".to_owned(), None);
        let noon: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        assert!(!key.has_expired(noon));
        assert_eq!((key.expires_at(), key.token()), (None, None));
        assert_eq!(key.quota_key(), "AKIDa");
        let key = key.temporary("a role".to_owned(), noon);
        assert!(key.has_expired(noon));
        assert!(!key.has_expired(noon - jiff::SignedDuration::from_secs(1)));
        assert_eq!(key.quota_key(), "a role");
    }
}
