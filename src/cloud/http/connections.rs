//! The connections to each service, and when they are left for new ones.
//!
//! A name may lead to another address at any time, and a connection in use would hold on to
//! the old one for ever. So connections have an age, and those of a service that fails are
//! left at once: the retry looks the name up again and connects anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use parking_lot::Mutex;
use reqwest::{Client, Proxy, Url, redirect, retry};
use rustls::ClientConfig;
use tokio::time::Instant;

use super::{USER_AGENT, with_sources};
use crate::cloud::Error;
use crate::cloud::trust::ClientError;
use crate::config::Proxies;
use crate::metrics::reason::Reason;

/// How long an idle connection is kept for the next collection.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// How long the connections to a service are used.
pub(super) const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// How often the connections to a service that fails are left in each [`WINDOW`]. Each time
/// costs a TLS handshake for every request under way at once, of all accounts.
const MOST_LEFT: u32 = 10;

/// See [`MOST_LEFT`].
const WINDOW: Duration = Duration::from_secs(10);

/// The connections to all services.
pub(super) struct ServiceConnections {
    tls: ClientConfig,
    proxies: Arc<Proxies>,
    max_age: Duration,
    services: Mutex<HashMap<Uri, Service>>,
}

/// The connections to one service that were begun together, and will be left together.
pub(super) struct Generation {
    pub(super) client: Client,
    /// Where the service is.
    pub(super) url: Url,
    since: Instant,
}

struct Service {
    /// None after they were left.
    current: Option<Arc<Generation>>,
    /// How often they were left since `window` began.
    left: u32,
    window: Instant,
}

impl Service {
    fn is_in_use(&self, max_age: Duration) -> bool {
        let current = self.current.as_ref();
        let is_young = current.is_some_and(|current| current.since.elapsed() < max_age);
        is_young || self.window.elapsed() < WINDOW
    }
}

impl ServiceConnections {
    pub(super) fn new(tls: ClientConfig, proxies: Arc<Proxies>, max_age: Duration) -> Self {
        Self {
            tls,
            proxies,
            max_age,
            services: Mutex::default(),
        }
    }

    /// The settings by which services are greeted.
    pub(super) fn tls(&self) -> &ClientConfig {
        &self.tls
    }

    /// The connections to use for a request to `uri`.
    pub(super) fn to(&self, uri: &Uri) -> Result<Arc<Generation>, Error> {
        let mut services = self.services.lock();
        let known = services
            .get(uri)
            .and_then(|service| service.current.as_ref());
        if let Some(known) = known
            && known.since.elapsed() < self.max_age
        {
            return Ok(Arc::clone(known));
        }
        let new = Arc::new(self.begin(uri)?);
        // A service that is in no configuration any more is not kept for ever.
        services.retain(|_, service| service.is_in_use(self.max_age));
        let service = services.entry(uri.clone()).or_insert_with(|| Service {
            current: None,
            left: 0,
            window: Instant::now(),
        });
        service.current = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Lets the next request to `uri` open a new connection, because a request over `failed`
    /// has failed. Requests that run over the old connections continue.
    pub(super) fn leave(&self, uri: &Uri, failed: &Arc<Generation>) {
        let mut services = self.services.lock();
        let Some(service) = services.get_mut(uri) else {
            return;
        };
        let current = service.current.as_ref();
        if !current.is_some_and(|current| Arc::ptr_eq(current, failed)) {
            return;
        }
        if service.window.elapsed() >= WINDOW {
            service.left = 0;
            service.window = Instant::now();
        }
        if service.left < MOST_LEFT {
            service.left += 1;
            service.current = None;
        }
    }

    fn begin(&self, uri: &Uri) -> Result<Generation, Error> {
        let url = Url::parse(&uri.to_string());
        let url = url.map_err(|error| Error::new(Reason::Request, error.to_string()))?;
        let client = self.client();
        let client = client.map_err(|error| Error::new(Reason::Network, error.to_string()))?;
        Ok(Generation {
            client,
            url,
            since: Instant::now(),
        })
    }

    /// A client without connections. It shares the TLS settings, and with them the tickets
    /// that make a further greeting short.
    fn client(&self) -> Result<Client, ClientError> {
        let proxies = Arc::clone(&self.proxies);
        let proxy = move |url: &Url| {
            let proxy = proxies.on_the_way_to(url);
            proxy.map(|proxy| proxy.expose().clone())
        };
        let builder = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            // With none at the most, no copy of a request is kept for one.
            .retry(retry::never().max_retries_per_request(0))
            .referer(false)
            .pool_idle_timeout(KEEP_ALIVE)
            .no_proxy();
        let builder = match self.proxies.is_empty() {
            true => builder,
            false => builder.proxy(Proxy::custom(proxy)),
        };
        let client = builder.build();
        client.map_err(|error| ClientError(with_sources(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::trust::Trust;

    #[tokio::test(start_paused = true)]
    async fn connections_that_fail_are_left_ten_times_in_ten_seconds() {
        let tls = Trust::Nobody.read().unwrap().client_config().unwrap();
        let day = Duration::from_secs(86_400);
        let connections = ServiceConnections::new(tls, Arc::default(), day);
        let uri: Uri = "https://cwp.example/".parse().unwrap();
        let left = || {
            let attempts = (0..15).filter(|_| {
                let failed = connections.to(&uri).unwrap();
                connections.leave(&uri, &failed);
                !Arc::ptr_eq(&failed, &connections.to(&uri).unwrap())
            });
            attempts.count()
        };
        assert_eq!(left(), 10);
        tokio::time::advance(Duration::from_millis(9999)).await;
        assert_eq!(left(), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(left(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_asked_no_more_is_forgotten_once_it_would_be_connected_to_anew() {
        let tls = Trust::Nobody.read().unwrap().client_config().unwrap();
        let minute = Duration::from_secs(60);
        let connections = ServiceConnections::new(tls, Arc::default(), minute);
        let uri = |name: &str| Uri::try_from(format!("https://{name}.example/")).unwrap();
        let known = |asked: &str| {
            connections.to(&uri(asked)).unwrap();
            let services = connections.services.lock();
            let names = ["old", "failed", "new", "last"];
            names.map(|name| services.contains_key(&uri(name)))
        };
        known("old");
        let failed = connections.to(&uri("failed")).unwrap();
        connections.leave(&uri("failed"), &failed);
        tokio::time::advance(WINDOW - Duration::from_millis(1)).await;
        assert_eq!(known("new"), [true, true, true, false]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(known("last"), [true, false, true, true]);
        tokio::time::advance(minute - WINDOW).await;
        // The other ones are some milliseconds younger.
        assert_eq!(known("failed"), [false, true, true, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_used_until_they_have_their_age() {
        let tls = Trust::Nobody.read().unwrap().client_config().unwrap();
        let connections = ServiceConnections::new(tls, Arc::default(), MAX_AGE);
        let uri: Uri = "https://cwp.example/".parse().unwrap();
        let first = connections.to(&uri).unwrap();
        let is = |known: &Arc<Generation>| Arc::ptr_eq(known, &connections.to(&uri).unwrap());
        let is_first = || is(&first);
        tokio::time::advance(Duration::from_millis(299_999)).await;
        assert!(is_first());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!is_first());
        // Requests over the old ones that fail late say nothing of the new ones.
        let second = connections.to(&uri).unwrap();
        connections.leave(&uri, &first);
        assert!(is(&second));
        connections.leave(&uri, &second);
        assert!(!is(&second));
    }
}
