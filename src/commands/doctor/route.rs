//! The steps of the route to an endpoint: name, connection, TLS.
//!
//! Accounts with the same endpoint share the route, which is probed once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use url::{Host, Url};

use super::report::{Check, CheckResult};
use super::tls::TlsProbe;
use crate::config::{Endpoint, Proxies, ProxyUrl};

const DNS_REMEDY: &str =
    "check the spelling of the endpoint or proxy, and this machine's resolver: /etc/resolv.conf";
const CONNECTION_REMEDY: &str = "check routes and firewalls between this machine and that address, and whether a proxy is needed";

/// The route to one endpoint.
pub(super) struct Route {
    /// The proxy, if the route has one.
    pub(super) proxy: Option<String>,
    /// All steps.
    pub(super) steps: Vec<CheckResult>,
}

/// The other end of a connection: the endpoint or its proxy.
struct Peer {
    host: Host<String>,
    port: u16,
}

/// Probes routes.
pub(super) struct RouteProbe {
    pub(super) proxies: Proxies,
    pub(super) tls: TlsProbe,
    pub(super) timeout: Duration,
}

impl Route {
    pub(super) fn is_open(&self) -> bool {
        !self.steps.iter().any(CheckResult::has_failed)
    }
}

impl RouteProbe {
    /// Probes the route to `endpoint`.
    pub(super) async fn probe(&self, endpoint: &Endpoint) -> Route {
        let proxy = Url::parse(endpoint.url()).ok();
        let proxy = proxy.and_then(|url| self.proxies.on_the_way_to(&url));
        let proxy = proxy.map(ProxyUrl::address);
        let url = proxy.clone().unwrap_or_else(|| endpoint.url().to_owned());
        let mut steps = Vec::new();
        let stream = match Peer::of(&url) {
            Some(peer) => self.reach(&peer, proxy.is_some(), &mut steps).await,
            None => {
                let detail = format!("{url} names no host");
                steps.push(CheckResult::failed(Check::Dns, detail, DNS_REMEDY));
                None
            }
        };
        if steps.len() == 1 {
            steps.push(CheckResult::skipped(Check::Tcp, "there is no address"));
        }
        steps.push(self.tls_step(endpoint, stream, proxy.is_some()).await);
        Route { proxy, steps }
    }

    async fn tls_step(
        &self,
        endpoint: &Endpoint,
        stream: Option<TcpStream>,
        is_proxy: bool,
    ) -> CheckResult {
        let skipped = |why: &str| CheckResult::skipped(Check::Tls, why);
        if !endpoint.is_https() {
            return skipped("the endpoint is http://");
        }
        let Some(stream) = stream else {
            return skipped("there is no connection");
        };
        // The probe has no tunnel; the request itself opens a tunnel.
        if is_proxy {
            return skipped("the request itself checks this, through the proxy's tunnel");
        }
        let peer = Peer::of(endpoint.url());
        let Some(name) = peer.and_then(|peer| peer.server_name()) else {
            return skipped("no certificate can be for this name");
        };
        let handshake = self.within(self.tls.handshake(name, stream)).await;
        handshake.unwrap_or_else(|| {
            let detail = format!("no TLS handshake within {:?}", self.timeout);
            CheckResult::failed(Check::Tls, detail, CONNECTION_REMEDY)
        })
    }

    /// Looks the peer up and connects to it.
    async fn reach(
        &self,
        peer: &Peer,
        is_proxy: bool,
        steps: &mut Vec<CheckResult>,
    ) -> Option<TcpStream> {
        let prefix = if is_proxy { "the proxy " } else { "" };
        let addresses = match peer.literal() {
            Some(address) => {
                let detail = format!("{prefix}{address} is an address, not a name");
                steps.push(CheckResult::skipped(Check::Dns, detail));
                vec![SocketAddr::new(address, peer.port)]
            }
            None => {
                let host = peer.host.to_string();
                let (step, addresses) = self.look_up(prefix, &host, peer.port).await;
                steps.push(step);
                addresses
            }
        };
        if addresses.is_empty() {
            return None;
        }
        let (step, stream) = self.connect(prefix, &addresses).await;
        steps.push(step);
        stream
    }

    async fn look_up(&self, prefix: &str, host: &str, port: u16) -> (CheckResult, Vec<SocketAddr>) {
        let why = match self.within(lookup_host((host, port))).await {
            Some(Ok(addresses)) => {
                let addresses: Vec<SocketAddr> = addresses.collect();
                if !addresses.is_empty() {
                    let shown = addresses.iter().map(|address| address.ip().to_string());
                    let shown: Vec<String> = shown.collect();
                    let detail = format!("{prefix}{host} is {}", shown.join(", "));
                    return (CheckResult::ok(Check::Dns, detail), addresses);
                }
                "it has no address".to_owned()
            }
            Some(Err(error)) => error.to_string(),
            None => format!("no answer within {:?}", self.timeout),
        };
        let detail = format!("{prefix}{host} does not resolve: {why}");
        (
            CheckResult::failed(Check::Dns, detail, DNS_REMEDY),
            Vec::new(),
        )
    }

    /// Connects to the first address that accepts. Each address has an equal part of the timeout.
    async fn connect(
        &self,
        prefix: &str,
        addresses: &[SocketAddr],
    ) -> (CheckResult, Option<TcpStream>) {
        let limit = self.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let mut failures = Vec::new();
        for address in addresses {
            let started = Instant::now();
            let why: io::Error = match timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let took = started.elapsed().as_secs_f64() * 1_000.0;
                    let detail = format!("connected to {prefix}{address} in {took:.1} ms");
                    return (CheckResult::ok(Check::Tcp, detail), Some(stream));
                }
                Ok(Err(error)) => error,
                Err(_) => io::Error::other(format!("no answer within {limit:?}")),
            };
            failures.push(format!("{address}: {why}"));
        }
        let detail = format!("cannot connect to {prefix}{}", failures.join("; "));
        (
            CheckResult::failed(Check::Tcp, detail, CONNECTION_REMEDY),
            None,
        )
    }

    async fn within<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        timeout(self.timeout, future).await.ok()
    }
}

impl Peer {
    fn of(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        Some(Self {
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }

    /// The address, if the URL has an address for a name.
    fn literal(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }

    /// The name that the peer's certificate must have.
    fn server_name(&self) -> Option<ServerName<'static>> {
        match &self.host {
            Host::Domain(name) => ServerName::try_from(name.clone()).ok(),
            Host::Ipv4(_) | Host::Ipv6(_) => Some(ServerName::from(self.literal()?)),
        }
    }
}
