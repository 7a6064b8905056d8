//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::fmt;
use std::future::{poll_fn, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::Either;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::activity_stream::ActivityStream;
use super::answers::AnswerLimits;
use super::body::Body;
use super::connections::{ConnectionActivity, ConnectionPermit};
use super::http2::{self, Sender};
use super::reply::{PLAIN, answer};
use super::request_limiter::RequestLimiter;
use super::scrape::NegotiationCache;
use super::{MAX_HEAD, host};
use crate::server::web_config::WebConfigFile;
use crate::system::clock::Clock;

/// What HTTP/2 is called in a TLS handshake.
const HTTP2: &[u8] = b"h2";

/// How much may wait to be sent in a TLS connection: one record, not four.
const TLS_BUFFER: usize = 16 * 1024;

/// The first byte of every TLS handshake.
const HANDSHAKE: u8 = 22;

/// What all connections of a server have in common.
#[derive(Debug, Clone)]
pub(super) struct ConnectionContext {
    pub(super) request_limiter: Arc<RequestLimiter>,
    pub(super) limits: Arc<AnswerLimits>,
    pub(super) clock: Clock,
    /// How to speak TLS, if it is spoken.
    pub(super) tls: Option<Arc<WebConfigFile>>,
}

/// Why a connection ended before its client left.
enum End {
    Refused(String),
    Io(io::Error),
    Http1(hyper::Error),
    Http2(h2::Error),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::Io(error) => error.fmt(f),
            Self::Http1(error) => error.fmt(f),
            Self::Http2(error) => error.fmt(f),
        }
    }
}

/// Answers the requests of one connection.
#[derive(Debug)]
pub(super) struct Responder {
    request_limiter: Arc<RequestLimiter>,
    activity: Arc<ConnectionActivity>,
    peer: IpAddr,
    memory: NegotiationCache,
}

impl Responder {
    /// The response to a request, whose body is not read.
    pub(super) fn respond<T>(
        &self,
        request: Request<T>,
    ) -> impl Future<Output = Response<Body>> + Send + use<T> {
        let now = Instant::now();
        self.activity.asked(now);
        if let Some(response) = self
            .request_limiter
            .answer_at_hand(&request, &self.memory, now)
        {
            return Either::Left(ready(response));
        }
        let (request_limiter, activity) = (
            Arc::clone(&self.request_limiter),
            Arc::clone(&self.activity),
        );
        let (peer, (head, _)) = (self.peer, request.into_parts());
        Either::Right(Box::pin(async move {
            let _answering = activity.answering();
            let response = request_limiter.answer(&head, peer).await;
            match head.method {
                Method::HEAD => without_body(response),
                _ => response,
            }
        }))
    }

    /// The same for a request of HTTP/1, whose head says less.
    fn respond_http1(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        if let Err(wrong) = host::check(request.version(), request.headers()) {
            self.activity.asked(Instant::now());
            let mut refusal = answer(StatusCode::BAD_REQUEST, PLAIN, wrong.to_string());
            let close = HeaderValue::from_static("close");
            refusal.headers_mut().insert(header::CONNECTION, close);
            return Either::Left(ready(refusal));
        }
        Either::Right(self.respond(request))
    }
}

/// The response to HEAD where that to GET is `response`.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.length() {
        let length = HeaderValue::from(length);
        head.headers.insert(header::CONTENT_LENGTH, length);
    }
    Response::from_parts(head, Body::default())
}

/// Serves one connection until its client leaves, it is cut, or the server stops.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    place: ConnectionPermit,
    shared: ConnectionContext,
) {
    // Small answers must not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let activity = place.activity();
    let responder = Responder {
        request_limiter: Arc::clone(&shared.request_limiter),
        activity: Arc::clone(activity),
        peer: peer.ip(),
        memory: NegotiationCache::default(),
    };
    let serving = async {
        match &shared.tls {
            None => {
                let stream = ActivityStream::new(stream, Arc::clone(activity));
                speak_http1(stream, activity, responder).await
            }
            Some(file) => {
                // Much larger, and needed by few.
                Box::pin(speak_tls(stream, activity, file, &shared, responder)).await
            }
        }
    };
    tokio::select! {
        biased;
        () = activity.until_cut() => debug!(%peer, "connection cut"),
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
    shared: &ConnectionContext,
    responder: Responder,
) -> Result<(), End> {
    let mut first = [0];
    if stream.peek(&mut first).await.map_err(End::Io)? == 0 {
        return Ok(());
    }
    if first != [HANDSHAKE] {
        let text =
            "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
        stream.write_all(text.as_bytes()).await.map_err(End::Io)?;
        stream.shutdown().await.map_err(End::Io)?;
        // Were something left unread, the system would take the answer back.
        let mut rest = stream.take(MAX_HEAD as u64);
        let read = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        read.map_err(End::Io)?;
        return Err(End::Refused("the client does not speak TLS".to_owned()));
    }
    let config = file.tls().await;
    let config = config.map_err(|error| End::Refused(error.to_string()))?;
    let stream = ActivityStream::new(stream, Arc::clone(activity));
    let handshake = TlsAcceptor::from(config).accept(stream);
    let mut stream = handshake.await.map_err(End::Io)?;
    stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
    if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
        return speak_http1(stream, activity, responder).await;
    }
    let sender = Sender {
        activity: Arc::clone(activity),
        limits: Arc::clone(&shared.limits),
        clock: shared.clock.clone(),
    };
    let serving = http2::serve(stream, responder, sender);
    serving.await.map_err(End::Http2)
}

/// Goes on until the client leaves, or all is answered and the connection is to finish.
async fn speak_http1<T>(
    stream: T,
    activity: &ConnectionActivity,
    responder: Responder,
) -> Result<(), End>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let response = responder.respond_http1(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let serving = http1::Builder::new()
        .half_close(true)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let (mut serving, mut told) = (pin!(serving), false);
    let served = poll_fn(|context| {
        if !told && activity.is_to_finish() {
            told = true;
            serving.as_mut().graceful_shutdown();
        }
        serving.as_mut().poll(context)
    });
    served.await.map_err(End::Http1)
}

#[cfg(test)]
mod tests;
