//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;
use tokio::net::TcpStream;
use tracing::debug;

use super::MAX_HEAD;
use super::connections::Place;
use super::gate::Gate;
use super::metered::Metered;

/// Serves one connection until its client leaves, it is cut, or the server stops.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
    gate: Arc<Gate>,
    watcher: Watcher,
) {
    // Small answers must not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let pulse = place.pulse();
    let service = service_fn(|request: Request<Incoming>| {
        let gate = &gate;
        async move {
            let _request = pulse.request();
            let (head, _) = request.into_parts();
            Ok::<_, Infallible>(gate.answer(&head).await)
        }
    });
    let stream = TokioIo::new(Metered::new(stream, Arc::clone(pulse)));
    let serving = http1::Builder::new()
        .half_close(true)
        .max_buf_size(MAX_HEAD)
        .serve_connection(stream, service);
    tokio::select! {
        biased;
        () = place.cut() => debug!(%peer, "connection cut"),
        served = watcher.watch(serving) => {
            if let Err(error) = served {
                debug!(%peer, %error, "connection ended early");
            }
        }
    }
}
