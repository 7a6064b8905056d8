//! The HTTP server: listeners, connections and their limits. What is answered is
//! decided in [`site`]; nothing a client sends reaches the cloud.

mod discovery;
mod landing;
pub mod listen;
mod reply;
mod scrape;
pub mod site;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use site::Site;

/// How long a client may take to send a request's head, or leave a connection idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How many connections are served at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;

/// How many bytes a request's head may have.
const MAX_HEAD: usize = 16 * 1024;

/// The pause after the kernel refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections in use may take to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(2);

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
}

impl Server {
    /// A server that accepts on `listeners`.
    #[must_use]
    pub fn new(listeners: Vec<TcpListener>) -> Self {
        Self { listeners }
    }

    /// The addresses it is bound to.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let listeners = self.listeners.iter();
        listeners
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Serves `site` until `stop`, then lets requests in progress finish.
    pub async fn serve(self, site: Arc<Site>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let connections = GracefulShutdown::new();
        let accepting = self.listeners.into_iter().map(|listener| {
            stop.run_until_cancelled(accept(listener, &places, &connections, &site))
        });
        futures_util::future::join_all(accepting).await;
        if tokio::time::timeout(DRAIN, connections.shutdown())
            .await
            .is_err()
        {
            warn!("connections were still busy and have been cut");
        }
    }
}

/// Accepts connections for ever: no error of the kernel's ends it.
async fn accept(
    listener: TcpListener,
    places: &Arc<Semaphore>,
    connections: &GracefulShutdown,
    site: &Arc<Site>,
) {
    loop {
        // The semaphore is never closed, so this is always a place.
        let place = Arc::clone(places).acquire_owned().await.ok();
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept a connection, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = connections.watch(connection(stream, Arc::clone(site)));
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                debug!(%error, "connection ended early");
            }
        });
    }
}

fn connection(
    stream: TcpStream,
    site: Arc<Site>,
) -> http1::Connection<
    TokioIo<TcpStream>,
    impl hyper::service::HttpService<Incoming, ResBody = reply::Body, Error = Infallible, Future: Send>
    + Send,
> {
    // Small answers must not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let site = Arc::clone(&site);
        async move {
            let (head, _) = request.into_parts();
            Ok::<_, Infallible>(site.answer(&head).await)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
}
