//! Who we are to the cloud: one whole credential for each request.

mod env;
mod static_key;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::cloud::Credential;
use crate::cloud::http::HttpSend;
use crate::config::{Credentials, Environment};
use crate::metrics::ExporterMetrics;

/// No credential can be had from its source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// A place that credentials come from.
pub trait Provider: Send + Sync {
    /// The credential to use now, obtained anew if it is time.
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>>;

    /// The credential that was handed out last, if there was one. Waits for nothing.
    fn current(&self) -> Option<Arc<Credential>>;

    /// Obtains another credential at once, because the cloud refused `rejected`.
    /// Does nothing if `rejected` is no longer the current one.
    fn renew<'a>(&'a self, rejected: &'a Credential) -> BoxFuture<'a, ()>;

    /// The place in words, for people. Never holds a secret.
    fn source(&self) -> String;
}

/// What providers work with.
#[derive(Clone)]
pub struct Context {
    /// The process's environment.
    pub environment: Environment,
    /// The network, for providers that ask a service.
    pub http: Arc<dyn HttpSend>,
    /// The wall clock, by which temporary keys expire.
    pub clock: Clock,
    /// Where refreshes are counted.
    pub metrics: ExporterMetrics,
}

/// The provider that the configuration asks for.
#[must_use]
pub fn provider(credentials: &Credentials, context: &Context) -> Arc<dyn Provider> {
    let (sources, place) = match credentials.clone() {
        Credentials::Static {
            secret_id,
            secret_key,
            token,
        } => {
            let sources = static_key::Sources {
                secret_id,
                secret_key,
                token,
            };
            (sources, "the configured key")
        }
        Credentials::Env => (env::sources(&context.environment), "the environment"),
    };
    Arc::new(static_key::StaticKey::new(sources, place, context))
}
