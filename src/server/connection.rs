//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::fmt;
use std::future::{poll_fn, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::future::Either;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::body::Body;
use super::connections::{Place, Pulse};
use super::gate::Gate;
use super::metered::Metered;
use super::scrape::Memory;
use super::{MAX_HEAD, MAX_STREAMS};
use crate::web_config::WebConfigFile;

/// What HTTP/2 is called in a TLS handshake.
const HTTP2: &[u8] = b"h2";

/// How much of answers may wait to be sent in one HTTP/2 connection's request.
const SEND_BUFFER: usize = 64 * 1024;

/// The first byte of every TLS handshake.
const HANDSHAKE: u8 = 22;

/// What all connections of a server have in common.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) gate: Arc<Gate>,
    /// How to speak TLS, if it is spoken.
    pub(super) tls: Option<Arc<WebConfigFile>>,
}

/// Why a connection ended before its client left.
enum End {
    Refused(String),
    Io(io::Error),
    Http(hyper::Error),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::Io(error) => error.fmt(f),
            Self::Http(error) => error.fmt(f),
        }
    }
}

/// Serves one connection until its client leaves, it is cut, or the server stops.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, place: Place, shared: Shared) {
    // Small answers must not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let pulse = place.pulse();
    let (gate, memory) = (&shared.gate, Memory::default());
    let service = service_fn(move |request: Request<Incoming>| {
        let now = Instant::now();
        pulse.asked(now);
        if let Some(response) = gate.answer_at_hand(&request, &memory, now) {
            return Either::Left(ready(Ok::<_, Infallible>(response)));
        }
        let (gate, pulse) = (Arc::clone(gate), Arc::clone(pulse));
        Either::Right(Box::pin(async move {
            let _answering = pulse.answering();
            let (head, _) = request.into_parts();
            Ok(gate.answer(&head, peer.ip()).await)
        }))
    });
    let serving = async {
        match &shared.tls {
            None => {
                let stream = Metered::new(stream, Arc::clone(pulse));
                speak_http1(stream, pulse, service).await
            }
            Some(file) => {
                // Much larger, and needed by few.
                Box::pin(speak_tls(stream, pulse, file, service)).await
            }
        }
    };
    tokio::select! {
        biased;
        () = pulse.until_cut() => debug!(%peer, "connection cut"),
        served = serving => {
            if let Err(error) = served {
                debug!(%peer, %error, "connection ended early");
            }
        }
    }
}

async fn speak_tls<S>(
    mut stream: TcpStream,
    pulse: &Arc<Pulse>,
    file: &WebConfigFile,
    service: S,
) -> Result<(), End>
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send + 'static>,
{
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
    let config = file
        .tls()
        .map_err(|error| End::Refused(error.to_string()))?;
    let stream = Metered::new(stream, Arc::clone(pulse));
    let handshake = TlsAcceptor::from(config).accept(stream);
    let stream = handshake.await.map_err(End::Io)?;
    if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
        speak_http2(stream, pulse, service).await
    } else {
        speak_http1(stream, pulse, service).await
    }
}

async fn speak_http1<T, S>(stream: T, pulse: &Pulse, service: S) -> Result<(), End>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    let serving = http1::Builder::new()
        .half_close(true)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    until_finished(serving, http1::Connection::graceful_shutdown, pulse).await
}

async fn speak_http2<T, S>(stream: T, pulse: &Pulse, service: S) -> Result<(), End>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    S: HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send + 'static>,
{
    // That streams are begun and given up in a flood is limited by the library.
    let serving = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .serve_connection(TokioIo::new(stream), service);
    until_finished(serving, http2::Connection::graceful_shutdown, pulse).await
}

/// Goes on until the client leaves, or all is answered and the connection is to finish,
/// which it is told by `finish`.
async fn until_finished<C>(connection: C, finish: fn(Pin<&mut C>), pulse: &Pulse) -> Result<(), End>
where
    C: Future<Output = hyper::Result<()>>,
{
    let (mut connection, mut told) = (pin!(connection), false);
    let served = poll_fn(|context| {
        if !told && pulse.is_to_finish() {
            told = true;
            finish(connection.as_mut());
        }
        connection.as_mut().poll(context)
    });
    served.await.map_err(End::Http)
}
