//! An API client for tests, in front of a scripted network.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, BoxFuture};
use prometheus::Registry;

use super::{ApiClient, Target};
use crate::cloud::budget::Budgets;
use crate::cloud::credentials::{Provider, Unavailable};
use crate::cloud::scripted::{Scripted, clock};
use crate::cloud::{Credential, RequestTemplate};
use crate::collectors::Collector as _;
use crate::collectors::license_general::LicenseGeneral;
use crate::config::RateLimit;
use crate::config::{Config, Environment};
use crate::metrics::ExporterMetrics;

/// A client with a timeout of 10 s.
pub(crate) fn client(
    registry: &Registry,
    http: Arc<Scripted>,
    rate_limit: u32,
    max_in_flight: usize,
) -> ApiClient {
    ApiClient::new(
        http,
        Budgets::new(
            RateLimit {
                requests: rate_limit.try_into().unwrap(),
                replicas: NonZeroU32::MIN,
            },
            max_in_flight.try_into().unwrap(),
        ),
        clock(),
        Duration::from_secs(10),
        ExporterMetrics::register(registry).unwrap(),
    )
}

/// The real endpoint, as the owner of `secret_id`.
pub(crate) fn target(secret_id: &str) -> Target {
    let key = "scripted-secret".to_owned();
    target_of(Credential::new(secret_id.to_owned(), key, None))
}

/// The real endpoint, as the owner of `credential`.
pub(crate) fn target_of(credential: Credential) -> Target {
    let environment = Environment::from_iter([
        ("TENCENTCLOUD_SECRET_ID", "AKIDtest"),
        ("TENCENTCLOUD_SECRET_KEY", "unused"),
    ]);
    let config = Config::load(None, &environment, &[]).unwrap();
    let endpoint = &config.accounts[0].endpoint;
    Target {
        request: Arc::new(RequestTemplate::new(
            endpoint,
            None,
            LicenseGeneral.request(),
        )),
        credentials: Arc::new(Fixed(Arc::new(credential))),
    }
}

struct Fixed(Arc<Credential>);

impl Provider for Fixed {
    fn credential(&self) -> BoxFuture<'_, Result<Arc<Credential>, Unavailable>> {
        Box::pin(future::ready(Ok(Arc::clone(&self.0))))
    }

    fn current(&self) -> Option<Arc<Credential>> {
        Some(Arc::clone(&self.0))
    }

    fn renew<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, ()> {
        Box::pin(future::ready(()))
    }

    fn source(&self) -> String {
        "a test".to_owned()
    }
}
