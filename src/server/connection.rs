//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::activity_stream::ActivityStream;
use super::connections::{ConnectionActivity, ConnectionPermit};
use super::request_limiter::RequestLimiter;
use super::responder::Responder;
use super::scrape::NegotiationCache;
use super::{MAX_HEAD, http2};
use crate::server::web_config::WebConfigFile;

/// The name of HTTP/2 in ALPN.
const HTTP2: &[u8] = b"h2";

/// The send buffer of a TLS connection, in bytes: one record instead of four.
const TLS_BUFFER: usize = 16 * 1024;

/// The first byte of every TLS handshake.
const HANDSHAKE: u8 = 22;

/// What all connections of a server have in common.
#[derive(Clone)]
pub(super) struct ConnectionContext {
    pub(super) request_limiter: Arc<RequestLimiter>,
    /// The TLS settings; plain HTTP without.
    pub(super) tls: Option<Arc<WebConfigFile>>,
}

/// Why a connection ended before its client left.
type End = Box<dyn Error + Send + Sync>;

/// Serves one connection until its client leaves, the connection is evicted, or the server
/// stops.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    permit: ConnectionPermit,
    context: ConnectionContext,
) {
    // Small answers must not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let activity = &permit.activity;
    let responder = Responder {
        request_limiter: Arc::clone(&context.request_limiter),
        activity: Arc::clone(activity),
        peer: peer.ip(),
        negotiation_cache: NegotiationCache::default(),
    };
    let serving = async {
        match &context.tls {
            None => {
                let stream = ActivityStream::new(stream, Arc::clone(activity));
                speak_http1(stream, activity, responder).await
            }
            Some(file) => {
                // The future of TLS is much larger, and few connections need it.
                Box::pin(speak_tls(stream, activity, file, responder)).await
            }
        }
    };
    tokio::select! {
        biased;
        () = activity.abort.cancelled() => debug!(%peer, "connection aborted"),
        served = serving => {
            if let Err(error) = served {
                debug!(%peer, %error, "connection ended early");
            }
        }
    }
}

async fn speak_tls(
    mut stream: TcpStream,
    activity: &Arc<ConnectionActivity>,
    file: &Arc<WebConfigFile>,
    responder: Responder,
) -> Result<(), End> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(());
    }
    if first != [HANDSHAKE] {
        let text =
            "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        // If bytes were left unread, the kernel would discard the answer.
        let mut rest = stream.take(MAX_HEAD as u64);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
        return Err("the client does not speak TLS".into());
    }
    let config = file.tls().await?;
    let stream = ActivityStream::new(stream, Arc::clone(activity));
    let mut stream = TlsAcceptor::from(config).accept(stream).await?;
    stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
    if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
        return speak_http1(stream, activity, responder).await;
    }
    Ok(http2::serve(stream, responder).await?)
}

/// Serves until the client leaves, or everything is answered and the connection is shut
/// down.
async fn speak_http1<T>(
    stream: T,
    activity: &ConnectionActivity,
    responder: Responder,
) -> Result<(), End>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let response = responder.respond(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let serving = http1::Builder::new()
        .half_close(true)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        biased;
        () = activity.shutdown.cancelled() => serving.as_mut().graceful_shutdown(),
        served = serving.as_mut() => return Ok(served?),
    }
    Ok(serving.await?)
}

#[cfg(test)]
mod tests;
