//! The one-method seam between the client and the network.

mod connections;
mod failure;
mod tunnel;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use parking_lot::Mutex;
use reqwest::{Body, Url};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::Error;
use super::trust::{ClientError, Roots, Trust};
use crate::config::{Proxies, ProxyUrl};
use crate::metrics::reason::Reason;

use connections::{Generation, MAX_AGE, ServiceConnections};
use failure::Hops;

/// The largest answer that is read, after decompression, in bytes.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Who we are to servers.
const USER_AGENT: &str = concat!("cwp-exporter/", env!("CARGO_PKG_VERSION"));

/// How long a proxy's refusal is taken for that of further requests too, before the proxy is
/// asked for its status again.
const REFUSAL_HOLDS: Duration = Duration::from_secs(10);

/// Sends an HTTP request and reads the whole answer.
pub trait HttpSend: Send + Sync {
    /// The answer to `request`, whatever its status. Redirects are answers too.
    ///
    /// The future fails with `network` when no answer came, or with `clock` where that is
    /// to blame; with `response` when the answer was cut, could not be decompressed or
    /// exceeds [`MAX_ANSWER`].
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Error>>;
}

/// The real network.
pub struct Network(Mutex<Arc<Setup>>);

/// The network as one configuration wants it.
struct Setup {
    trust: Trust,
    proxies: Arc<Proxies>,
    max_age: Duration,
    /// Made with the first request: reading the system's certificates takes milliseconds.
    ready: OnceCell<Ready>,
    refusal: Mutex<Option<ProxyRefusal>>,
}

/// What a proxy answered to a request for a tunnel.
struct ProxyRefusal {
    service: Url,
    status: u16,
    at: Instant,
}

struct Ready {
    roots: Roots,
    connections: ServiceConnections,
}

impl Network {
    /// A client that trusts `trust` and sends requests through `proxies`.
    ///
    /// The system's certificates are read with the first request. If they cannot be used,
    /// that request fails.
    #[must_use]
    pub fn new(trust: Trust, proxies: Proxies) -> Self {
        // Fails only if a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self(Mutex::new(Arc::new(Setup::new(trust, proxies, MAX_AGE))))
    }

    /// What [`reconfigure`](Self::reconfigure) takes: the certificates, read again, if the
    /// certificates or the proxies have changed.
    ///
    /// # Errors
    ///
    /// When the certificates cannot be used. Those in use still are.
    pub fn changed(
        &self,
        trust: Trust,
        proxies: Proxies,
    ) -> Result<Option<Reconfigured>, ClientError> {
        let current = self.setup();
        let same = current.trust == trust && *current.proxies == proxies;
        let roots = match current.ready.get() {
            // Nothing has been read so far.
            None if same => return Ok(None),
            None => None,
            Some(ready) => {
                let roots = trust.read()?;
                if same && ready.roots == roots {
                    return Ok(None);
                }
                Some(roots)
            }
        };
        let setup = Setup::new(trust, proxies, current.max_age);
        if let Some(roots) = roots {
            let ready = setup.ready_with(roots)?;
            // The value is new, so nobody else has set it.
            let _ = setup.ready.set(ready);
        }
        Ok(Some(Reconfigured(Arc::new(setup))))
    }

    /// Sends requests from now on as `changed` says. Those under way end as they began.
    pub fn reconfigure(&self, changed: Reconfigured) {
        let Reconfigured(setup) = changed;
        *self.0.lock() = setup;
    }

    fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.0.lock())
    }
}

/// Other settings of a [`Network`], good to use.
pub struct Reconfigured(Arc<Setup>);

impl Setup {
    fn new(trust: Trust, proxies: Proxies, max_age: Duration) -> Self {
        Self {
            trust,
            proxies: Arc::new(proxies),
            max_age,
            ready: OnceCell::new(),
            refusal: Mutex::default(),
        }
    }

    fn ready_with(&self, roots: Roots) -> Result<Ready, ClientError> {
        let (tls, proxies) = (roots.client_config()?, Arc::clone(&self.proxies));
        let connections = ServiceConnections::new(tls, proxies, self.max_age);
        Ok(Ready { roots, connections })
    }

    async fn ready(&self) -> Result<&Ready, Error> {
        let failed = |error: &dyn fmt::Display| Error::new(Reason::Network, error.to_string());
        let read = || async {
            let trust = self.trust.clone();
            let roots = tokio::task::spawn_blocking(move || trust.read()).await;
            let roots = roots.map_err(|error| failed(&error))?;
            let ready = roots.and_then(|roots| self.ready_with(roots));
            ready.map_err(|error| failed(&error))
        };
        self.ready.get_or_try_init(read).await
    }

    /// Why there is no answer.
    async fn explain(
        &self,
        url: &Url,
        connections: &ServiceConnections,
        error: reqwest::Error,
    ) -> Error {
        let error = error.without_url();
        let proxy = self.proxies.on_the_way_to(url);
        let hops = Hops {
            service: url,
            proxy,
        };
        if let Some(proxy) = proxy
            && failure::is_refused_tunnel(&error)
            && let Some(status) = self.refusal(proxy, url, connections).await
        {
            return hops.no_tunnel(proxy, status);
        }
        hops.no_answer(&error)
    }

    /// The status by which the proxy refuses tunnels, asked for once in a while.
    async fn refusal(
        &self,
        proxy: &ProxyUrl,
        url: &Url,
        connections: &ServiceConnections,
    ) -> Option<u16> {
        if let Some(known) = &*self.refusal.lock()
            && known.service == *url
            && known.at.elapsed() < REFUSAL_HOLDS
        {
            return Some(known.status);
        }
        let status = tunnel::status(proxy, url, connections.tls()).await;
        // It may have opened a tunnel this time.
        let status = status.filter(|status| !(200..300).contains(status))?;
        *self.refusal.lock() = Some(ProxyRefusal {
            service: url.clone(),
            status,
            at: Instant::now(),
        });
        Some(status)
    }
}

/// A request in flight. If the request fails or is given up, the connections to its service
/// are left.
struct InFlight<'a> {
    connections: &'a ServiceConnections,
    uri: &'a Uri,
    generation: Arc<Generation>,
    is_good: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.is_good {
            self.connections.leave(self.uri, &self.generation);
        }
    }
}

impl HttpSend for Network {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, Error>> {
        Box::pin(async move {
            let setup = self.setup();
            let connections = &setup.ready().await?.connections;
            let (parts, body) = request.into_parts();
            let generation = connections.to(&parts.uri)?;
            let mut in_flight = InFlight {
                connections,
                uri: &parts.uri,
                generation,
                is_good: false,
            };
            let url = in_flight.generation.url.clone();
            let mut request = reqwest::Request::new(parts.method, url);
            *request.headers_mut() = parts.headers;
            *request.body_mut() = Some(Body::from(body));
            let sent = in_flight.generation.client.execute(request).await;
            let mut response = match sent {
                Ok(response) => response,
                Err(error) => {
                    let url = &in_flight.generation.url;
                    return Err(setup.explain(url, connections, error).await);
                }
            };
            let mut head = Response::new(());
            *head.status_mut() = response.status();
            *head.headers_mut() = std::mem::take(response.headers_mut());

            let announced = response.content_length().unwrap_or_default();
            if announced > MAX_ANSWER as u64 {
                return Err(oversized());
            }
            let mut body = BytesMut::new();
            while let Some(chunk) = response.chunk().await.map_err(cut)? {
                if body.len() + chunk.len() > MAX_ANSWER {
                    return Err(oversized());
                }
                body.extend_from_slice(&chunk);
            }
            in_flight.is_good = !head.status().is_server_error();
            Ok(head.map(|()| body.freeze()))
        })
    }
}

fn oversized() -> Error {
    let message = format!("the answer exceeds {} MiB", MAX_ANSWER / 1024 / 1024);
    Error::new(Reason::Response, message)
}

fn cut(error: reqwest::Error) -> Error {
    let reason = if error.is_timeout() {
        Reason::Timeout
    } else {
        Reason::Response
    };
    let why = with_sources(&error.without_url());
    Error::new(reason, format!("the answer broke off: {why}"))
}

/// An error with its causes, which the texts of reqwest do not have.
fn with_sources(error: &reqwest::Error) -> String {
    let words: Vec<String> = failure::causes(error).map(ToString::to_string).collect();
    words.join(": ")
}

#[cfg(test)]
mod tests;
