//! Who we are to the cloud: one whole credential for each request.
//!
//! Keys on this machine (`static`, `env`, `profile`, `tccli`) are read again for each
//! request, by `local_key`. Keys that a service issues (`cvm_role`, `tke_oidc`,
//! `assume_role`) are kept and replaced ahead of their expiry, by `temporary`. `chain` is
//! the first source that has a key.

mod assume_role;
mod chain;
mod cvm_role;
mod files;
#[cfg(test)]
mod fixture;
mod local_key;
mod sts;
mod temporary;
mod tke_oidc;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

#[cfg(test)]
pub(crate) use self::files::hanging;
pub use self::files::{Files, MAX_READS};
use self::local_key::{KeyLocation, LocalKey};
use self::temporary::Temporary;
use crate::cloud::budget::Budgets;
use crate::cloud::http::HttpSend;
use crate::cloud::{Credential, Error};
use crate::config::{Config, Credentials, Endpoint, Environment, Fault, Key, NoKey, Profile};
use crate::metrics::ExporterMetrics;
use crate::metrics::reason::Reason;
use crate::system::clock::Clock;

/// Why a source has no credential to use. The text never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The source was never given any, so a chain asks the next source.
    #[error("{0}")]
    Absent(Error),
    /// The source holds something that is no usable credential. A chain stops here.
    #[error("{0}")]
    Broken(Error),
}

impl Unavailable {
    /// Why, as the reason of a collection that fails for it.
    #[must_use]
    pub fn error(&self) -> &Error {
        let (Self::Absent(error) | Self::Broken(error)) = self;
        error
    }
}

impl From<Unavailable> for Error {
    fn from(unavailable: Unavailable) -> Self {
        let (Unavailable::Absent(error) | Unavailable::Broken(error)) = unavailable;
        error
    }
}

impl From<NoKey> for Unavailable {
    fn from(no_key: NoKey) -> Self {
        match no_key {
            NoKey::Absent(fault) => Self::Absent(of_key(fault)),
            NoKey::Broken(fault) => Self::Broken(of_key(fault)),
        }
    }
}

fn credential_of(key: Key) -> Credential {
    Credential::new(key.secret_id, key.secret_key, key.token)
}

/// The failure of a collection whose key has this `fault`.
fn of_key(fault: Fault) -> Error {
    let error = Error::new(Reason::Credentials, fault.what.clone());
    error.with_remedy(fault.into())
}

/// A source of credentials.
pub trait Provider: Send + Sync {
    /// The credential to use now, obtained anew if it is time.
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>>;

    /// The credential that was returned last, if there was one. Waits for nothing.
    fn current(&self) -> Option<Arc<Credential>>;

    /// Obtains another credential at once, because the cloud refused `rejected`.
    /// Does nothing if `rejected` is no longer the current one.
    fn renew<'a>(&'a self, rejected: &'a Credential) -> BoxFuture<'a, ()>;

    /// Why the credential could not be replaced although the current one stays in use,
    /// if that was not logged yet.
    fn take_notice(&self) -> Option<Error> {
        None
    }

    /// The source in words, for people. Never holds a secret.
    fn source(&self) -> String;
}

/// What providers work with.
#[derive(Clone)]
pub struct Context {
    /// The process's environment.
    pub environment: Environment,
    /// What reads files, the same for as long as the process runs.
    pub files: Arc<Files>,
    /// The network, for providers that ask a service.
    pub http: Arc<dyn HttpSend>,
    /// The wall clock, by which temporary keys expire.
    pub clock: Clock,
    /// Where refreshes are counted.
    pub metrics: ExporterMetrics,
    /// The Security Token Service.
    pub sts_endpoint: Endpoint,
    /// The metadata service of a CVM instance.
    pub metadata_endpoint: Endpoint,
    /// How long one request to either may take.
    pub timeout: Duration,
    /// What may be asked of the Security Token Service, by all providers together.
    pub sts_budgets: Arc<Budgets>,
}

impl Context {
    /// What providers need for the accounts of `config`.
    #[must_use]
    pub fn new(
        config: &Config,
        environment: &Environment,
        http: Arc<dyn HttpSend>,
        clock: &Clock,
        metrics: &ExporterMetrics,
    ) -> Self {
        let sts_budgets = Budgets::new(config.rate_limit(), config.api.max_in_flight);
        Self {
            environment: environment.clone(),
            files: Arc::default(),
            http,
            clock: clock.clone(),
            metrics: metrics.clone(),
            sts_endpoint: config.api.sts_endpoint.clone(),
            metadata_endpoint: config.api.metadata_endpoint.clone(),
            timeout: config.poll.timeout,
            sts_budgets: Arc::new(sts_budgets),
        }
    }

    /// The same for another configuration. The reader of files stays: it knows which reads have
    /// not ended.
    #[must_use]
    pub fn for_config(&self, config: &Config) -> Self {
        let http = Arc::clone(&self.http);
        Self {
            files: Arc::clone(&self.files),
            ..Self::new(config, &self.environment, http, &self.clock, &self.metrics)
        }
    }

    /// Whether a provider of the other context can be used in this context.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.http, &other.http)
            && self.sts_endpoint == other.sts_endpoint
            && self.metadata_endpoint == other.metadata_endpoint
            && self.timeout == other.timeout
            && self.sts_budgets.rate_limit() == other.sts_budgets.rate_limit()
    }
}

/// The providers of a process, one for each distinct configuration: a thousand
/// accounts of one role refresh one key.
#[derive(Clone)]
pub struct Providers {
    context: Context,
    made: HashMap<Credentials, Arc<dyn Provider>>,
}

impl Providers {
    /// No providers yet; they will work with `context`.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self {
            context,
            made: HashMap::new(),
        }
    }

    /// The provider of `credentials`; equal credentials share one provider.
    pub fn provider(&mut self, credentials: &Credentials) -> Arc<dyn Provider> {
        if let Some(made) = self.made.get(credentials) {
            return Arc::clone(made);
        }
        let made = self.make(credentials);
        self.made.insert(credentials.clone(), Arc::clone(&made));
        made
    }

    /// Forgets the providers that only this remembers.
    pub fn forget_unused(&mut self) {
        // A source of another provider is unused once that provider is dropped.
        let mut before = usize::MAX;
        while self.made.len() < before {
            before = self.made.len();
            self.made
                .retain(|_, provider| Arc::strong_count(provider) > 1);
        }
    }

    fn local_key(&self, location: KeyLocation) -> Arc<dyn Provider> {
        Arc::new(LocalKey::new(location, &self.context))
    }

    fn make(&mut self, credentials: &Credentials) -> Arc<dyn Provider> {
        match credentials.clone() {
            Credentials::Static(key) => self.local_key(KeyLocation::Static(key)),
            Credentials::Env => self.local_key(KeyLocation::Env),
            Credentials::Profile(profile) => self.local_key(KeyLocation::Profile(profile)),
            Credentials::Tccli(tccli) => self.local_key(KeyLocation::Tccli(tccli)),
            Credentials::CvmRole { role } => {
                let issuer = cvm_role::CvmRole::new(role, &self.context);
                Arc::new(Temporary::new(issuer, &self.context))
            }
            Credentials::TkeOidc => {
                let issuer = tke_oidc::WebIdentity::new(&self.context);
                Arc::new(Temporary::new(issuer, &self.context))
            }
            Credentials::AssumeRole(role) => {
                let source = self.provider(&role.source);
                let issuer = assume_role::AssumedRole::new(*role, source, &self.context);
                Arc::new(Temporary::new(issuer, &self.context))
            }
            Credentials::Default => {
                let sources = [
                    Credentials::Env,
                    Credentials::Profile(Profile::default()),
                    Credentials::CvmRole { role: None },
                    Credentials::TkeOidc,
                ];
                let links = sources.map(|source| self.provider(&source));
                Arc::new(chain::Chain::new(links.into()))
            }
        }
    }
}

#[cfg(test)]
pub(crate) use self::fixture::reading;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::scripted::Scripted;

    #[test]
    fn a_context_is_the_same_until_something_that_providers_work_with_is_another() {
        let environment = Environment::from(fixture::variables());
        let configured = |yaml: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            let account = "accounts: [{name: a, credentials: {type: env}}]";
            std::fs::write(file.path(), format!("{yaml}\n{account}")).unwrap();
            Config::load(Some(file.path()), &environment, &[]).unwrap()
        };
        let context = fixture::context(Scripted::hanging(), fixture::variables());
        let context = context.for_config(&configured(""));
        assert!(context.is_same(&context.for_config(&configured(""))));
        assert!(context.is_same(&context.for_config(&configured("poll: {interval: 2m}"))));
        for other in [
            "api: {sts_endpoint: 'https://sts.example'}",
            "api: {metadata_endpoint: 'http://metadata.example'}",
            "api: {rate_limit: 5}",
            "poll: {timeout: 5s}",
        ] {
            assert!(
                !context.is_same(&context.for_config(&configured(other))),
                "{other}"
            );
        }
        let elsewhere = Context {
            http: Scripted::hanging(),
            ..context.clone()
        };
        assert!(!context.is_same(&elsewhere));
    }

    #[test]
    fn equal_credentials_share_a_provider_and_so_do_their_sources() {
        let mut providers = Providers::new(fixture::context(Scripted::hanging(), []));
        let role = |name: &str| fixture::role(name, Credentials::Default);
        let a = providers.provider(&role("a"));
        assert!(Arc::ptr_eq(&a, &providers.provider(&role("a"))));
        assert!(!Arc::ptr_eq(&a, &providers.provider(&role("b"))));
        // Two roles, the chain and its four sources.
        assert_eq!(providers.made.len(), 7);
        providers.forget_unused();
        assert_eq!(providers.made.len(), 6);
        drop(a);
        providers.forget_unused();
        assert_eq!(providers.made.len(), 0);
    }
}
