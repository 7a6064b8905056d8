//! Who we are to the cloud: one whole credential for each request.

mod env;
mod static_key;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::config::{Credentials, Environment};
use crate::metrics::ExporterMetrics;

/// A key and, for temporary keys, its token. Never changes: a rotated key is
/// another credential, so no request is signed with halves of two.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    secret_id: String,
    secret_key: String,
    token: Option<String>,
}

impl Credential {
    /// A credential of the given parts.
    #[must_use]
    pub fn new(secret_id: String, secret_key: String, token: Option<String>) -> Self {
        Self {
            secret_id,
            secret_key,
            token,
        }
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

/// No credential can be had from its source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// A place that credentials come from.
pub trait Provider: Send + Sync {
    /// The credential to use now.
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>>;
}

/// The provider that the configuration asks for.
#[must_use]
pub fn provider(
    credentials: &Credentials,
    environment: &Environment,
    metrics: &ExporterMetrics,
) -> Arc<dyn Provider> {
    let sources = match credentials.clone() {
        Credentials::Static {
            secret_id,
            secret_key,
            token,
        } => static_key::Sources {
            secret_id,
            secret_key,
            token,
        },
        Credentials::Env => env::sources(environment),
    };
    Arc::new(static_key::StaticKey::new(
        sources,
        environment.clone(),
        metrics.clone(),
    ))
}
