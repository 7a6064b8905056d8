//! The HTTP server: listeners, connections and their limits. The [`router`] decides the
//! answers; nothing that a client sends reaches the cloud.

mod activity_stream;
mod answers;
mod auth_layer;
mod body;
pub mod calendar;
mod connection;
mod connections;
mod discovery;
#[cfg(test)]
mod fixture;
mod host;
mod http2;
pub mod language;
pub mod listen;
pub mod negotiation;
mod passwords;
pub mod renderer;
mod reply;
mod request_limiter;
mod responder;
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

use futures_util::future::{join, join_all};
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

/// The most bytes of a request's head. The body of a request is never read.
pub const MAX_HEAD: usize = 16 * 1024;

/// The most concurrent requests in one HTTP/2 connection.
pub const MAX_STREAMS: u32 = 32;

/// The time limit of the TLS handshake together with the first request's head or the
/// HTTP/2 preface, and of each further head from its first byte.
pub const HEAD_TIME: Duration = Duration::from_secs(10);

/// The time limit of an idle connection. Prometheus closes idle connections after five
/// minutes.
pub const IDLE_TIME: Duration = Duration::from_secs(330);

/// The time limit within which a client must accept some of an answer.
pub const STALL_TIME: Duration = Duration::from_secs(10);

/// The same while other requests wait because a limit of the answers is reached.
pub const STALL_TIME_WHILE_OTHERS_WAIT: Duration = Duration::from_secs(1);

/// The time limit within which a client must accept all of an answer.
pub const SEND_TIME: Duration = Duration::from_secs(120);

/// The most bytes of answers that clients have not accepted yet. An answer that is larger
/// than a sixth of this counts as a sixth.
pub const ANSWER_MEMORY: usize = 12 * 1024 * 1024;

/// The pause after the kernel refused a connection, such as without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The time limit within which connections must finish when the server stops.
const DRAIN: Duration = Duration::from_secs(2);

/// The limits of concurrent work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; a further one evicts the most useless one.
    pub connections: NonZeroUsize,
    /// Scrapes whose answers are not accepted yet; 0 is no limit. A further one waits five
    /// seconds, then gets 503.
    pub scrapes: usize,
}

/// A bound server.
#[derive(Debug)]
pub struct Server {
    /// Where it accepts connections.
    pub listeners: Vec<TcpListener>,
    /// The most open connections.
    pub connections: NonZeroUsize,
    /// TLS, users and headers; plain HTTP without authentication if absent.
    pub web_config: Option<Arc<WebConfigFile>>,
    /// Whether the paths of health and readiness need no password.
    pub health_is_open: bool,
}

impl Server {
    /// The web configuration of a server that speaks TLS.
    fn tls(&self) -> Option<&Arc<WebConfigFile>> {
        let file = self.web_config.as_ref()?;
        file.initial().tls.is_some().then_some(file)
    }

    /// The addresses that the server is bound to.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let addresses = self.listeners.iter().map(TcpListener::local_addr);
        addresses.filter_map(Result::ok).collect()
    }

    /// Logs the addresses, as other exporters do.
    pub fn announce(&self) {
        for address in self.local_addrs() {
            info!(%address, "Listening on");
            match self.tls() {
                Some(file) => info!(http2 = file.initial().http2, %address, "TLS is enabled."),
                None => info!(http2 = false, %address, "TLS is disabled."),
            }
        }
    }

    /// Serves `router` until `stop`, then lets requests in progress finish.
    pub async fn serve(self, router: Arc<Router>, stop: CancellationToken) {
        let connections = Arc::new(Connections::new(self.connections));
        let tls = self.tls().cloned();
        let auth_layer = self.web_config;
        let auth_layer = auth_layer.map(|file| AuthLayer::new(file, self.health_is_open));
        let limits = Arc::clone(router.bodies.limits());
        let context = ConnectionContext {
            request_limiter: Arc::new(RequestLimiter::new(router, auth_layer)),
            tls,
        };
        let listeners = self.listeners.into_iter();
        let accepting = listeners.map(|listener| accept(listener, &connections, &context));
        let serving = join(join_all(accepting), connections.sweep(&limits));
        stop.run_until_cancelled(serving).await;
        if tokio::time::timeout(DRAIN, connections.drain())
            .await
            .is_err()
        {
            warn!("some connections were still busy and have been closed");
        }
    }
}

/// Accepts connections for ever: no error of the kernel ends the loop.
async fn accept(
    listener: TcpListener,
    connections: &Arc<Connections>,
    context: &ConnectionContext,
) {
    let log_limit = LogLimit::minute();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(count) = log_limit.admit() {
                    warn!(%error, hidden = hidden(count), "cannot accept a connection: the exporter closes other connections and tries again");
                }
                connections.evict_quarter();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Some(permit) = connections.acquire(peer.ip()).await {
            tokio::spawn(connection::serve(stream, peer, permit, context.clone()));
        }
    }
}
