//! The HTTP server: listeners, connections and their limits. What is answered is
//! decided in [`router`]; nothing a client sends reaches the cloud.

mod activity_stream;
mod answers;
mod auth_layer;
mod body;
mod connection;
mod connections;
mod discovery;
#[cfg(test)]
mod fixture;
mod host;
mod http2;
pub mod listen;
mod negotiation;
mod passwords;
pub mod renderer;
mod reply;
mod request_limiter;
pub mod router;
pub mod scrape;
pub mod status;
mod status_page;
pub mod thread;
pub mod web_config;
mod worker;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use auth_layer::AuthLayer;
use connection::ConnectionContext;
use connections::Connections;
use request_limiter::RequestLimiter;
use router::Router;

use crate::server::web_config::WebConfigFile;
use crate::system::log_limit::{LogLimit, hidden};

/// How many bytes a request's head may have. The rest of a request is never read.
pub const MAX_HEAD: usize = 16 * 1024;

/// How many requests a client may have in one HTTP/2 connection at a time.
pub const MAX_STREAMS: u32 = 32;

/// How long a client may take for the TLS handshake, with its first request's head or the
/// beginning of HTTP/2, and for each further head from its first byte.
pub const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a connection may be open between requests. Prometheus itself gives up an
/// idle one after five minutes.
pub const IDLE_TIME: Duration = Duration::from_secs(330);

/// How long a client may accept nothing of an answer.
pub const STALL_TIME: Duration = Duration::from_secs(10);

/// The same while others wait because a limit of the answers is reached.
pub const STALL_TIME_WHILE_OTHERS_WAIT: Duration = Duration::from_secs(1);

/// How long a client may take to accept all of an answer.
pub const SEND_TIME: Duration = Duration::from_secs(120);

/// How many bytes answers may hold until their clients have accepted them. Of an answer
/// that is larger than a sixth of this, a sixth is counted.
pub const ANSWER_MEMORY: usize = 12 * 1024 * 1024;

/// The pause after the kernel refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// How long connections in use may take to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(2);

/// How much is served at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; a further one takes the place of the most useless one.
    pub connections: NonZeroUsize,
    /// Scrapes under way, until their answers are accepted; 0 is no limit. A further one
    /// waits a while, then gets 503.
    pub scrapes: usize,
}

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    connections: NonZeroUsize,
    auth_layer: Option<Arc<WebConfigFile>>,
    health_is_open: bool,
}

impl Server {
    /// A server that accepts on `listeners`, has so many connections open at the most, and
    /// speaks plain HTTP with everybody.
    #[must_use]
    pub fn new(listeners: Vec<TcpListener>, connections: NonZeroUsize) -> Self {
        Self {
            listeners,
            connections,
            auth_layer: None,
            health_is_open: false,
        }
    }

    /// The same, but as `file` says. With `health_is_open` whether the process is alive
    /// and ready is told without a password.
    #[must_use]
    pub fn guarded_by(self, file: WebConfigFile, health_is_open: bool) -> Self {
        Self {
            auth_layer: Some(Arc::new(file)),
            health_is_open,
            ..self
        }
    }

    /// The web configuration of a server that speaks TLS.
    fn tls(&self) -> Option<&Arc<WebConfigFile>> {
        let auth_layer = self.auth_layer.as_ref();
        auth_layer.filter(|file| file.first().tls.is_some())
    }

    /// The addresses it is bound to.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let listeners = self.listeners.iter();
        listeners
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Says in the log where it listens, as other exporters do.
    pub fn announce(&self) {
        for address in self.local_addrs() {
            info!(%address, "Listening on");
            match self.tls() {
                Some(file) => info!(http2 = file.first().http2, %address, "TLS is enabled."),
                None => info!(http2 = false, %address, "TLS is disabled."),
            }
        }
    }

    /// Serves `router` until `stop`, then lets requests in progress finish.
    pub async fn serve(self, router: Arc<Router>, stop: CancellationToken) {
        let open = Arc::new(Connections::new(self.connections));
        let tls = self.tls().cloned();
        let limits = Arc::clone(router.bodies.limits());
        let clock = router.bodies.exposition().clock().clone();
        let request_limiter = RequestLimiter::new(router);
        let request_limiter = match self.auth_layer {
            Some(file) => request_limiter.guarded_by(AuthLayer::new(file, self.health_is_open)),
            None => request_limiter,
        };
        let shared = ConnectionContext {
            request_limiter: Arc::new(request_limiter),
            limits: Arc::clone(&limits),
            clock,
            tls,
        };
        let accepting = self
            .listeners
            .into_iter()
            .map(|listener| accept(listener, &open, &shared));
        let serving = futures_util::future::join(
            futures_util::future::join_all(accepting),
            open.sweep(&limits),
        );
        stop.run_until_cancelled(serving).await;
        if tokio::time::timeout(DRAIN, open.drain()).await.is_err() {
            warn!("some connections were still busy and have been closed");
        }
    }
}

/// Accepts connections for ever: no error of the kernel's ends it.
async fn accept(listener: TcpListener, open: &Arc<Connections>, shared: &ConnectionContext) {
    let log_limit = LogLimit::minute();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(count) = log_limit.admit() {
                    warn!(%error, hidden = hidden(count), "cannot accept a connection: the exporter closes other connections and tries again");
                }
                open.cut_some();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = open.admit(peer.ip()).await else {
            continue;
        };
        let serving = connection::serve(stream, peer, place, shared.clone());
        tokio::spawn(serving);
    }
}
