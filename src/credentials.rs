//! Who we are to the cloud: one whole credential for each request.

mod env;
mod static_key;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::cloud::Credential;
use crate::config::{Credentials, Environment};
use crate::metrics::ExporterMetrics;

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
