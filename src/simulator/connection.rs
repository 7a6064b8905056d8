//! One client's connection.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{HeaderValue, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::headers;
use super::refusal::Refusal;
use super::reply::{Body, ConnectionReply};
use super::state::SimulatorState;
use super::verify::{self, ReceivedRequest};

/// How long a request's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// An end of a connection outside HTTP.
#[derive(Debug)]
enum Interruption {
    Reset,
    Break(Bytes),
}

/// Serves one connection until either side ends it.
pub(crate) async fn serve(stream: TcpStream, state: Arc<SimulatorState>) {
    let (interrupt, mut interrupted) = mpsc::channel(1);
    let service = service_fn(move |request| {
        let (state, interrupt) = (Arc::clone(&state), interrupt.clone());
        async move { Ok::<_, Infallible>(answer(request, &state, &interrupt).await) }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = &mut connection => ended.map_err(io::Error::other),
        Some(interruption) = interrupted.recv() => {
            let stream = connection.into_parts().io.into_inner();
            match interruption {
                Interruption::Reset => stream.set_zero_linger(),
                Interruption::Break(bytes) => write_all(&stream, bytes).await,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "connection failed");
    }
}

/// Answers one request, or interrupts its connection and never returns.
async fn answer(
    request: http::Request<Incoming>,
    state: &SimulatorState,
    interrupt: &mpsc::Sender<Interruption>,
) -> Response<Body> {
    let at = Instant::now();
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, verify::MAX_BODY);
    let collected = timeout(BODY_TIMEOUT, body.collect()).await;
    let body = match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(verify::too_large()),
        Ok(Err(_)) | Err(_) => Err(Refusal::new(
            "InvalidRequest",
            "The request's body could not be read to its end.",
        )),
    };
    let request = ReceivedRequest {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
        body: body.as_deref().unwrap_or_default(),
    };
    let unread = body.is_err();
    let verdict = match &body {
        Ok(_) => state.decide(&request, at),
        Err(refusal) => {
            state.refuse(&request, at, refusal);
            Err(refusal.clone())
        }
    };
    let envelope = state.envelope();
    let (delay, reply) = match verdict {
        Ok((answer, content)) => envelope.reply(&answer, &content),
        Err(refusal) => {
            let message = refusal.message(headers::language(&parts.headers));
            (Duration::ZERO, envelope.refuse(refusal.code, message))
        }
    };
    if !delay.is_zero() {
        sleep(delay).await;
    }
    let interruption = match reply {
        ConnectionReply::Respond(mut response) => {
            if unread {
                let close = HeaderValue::from_static("close");
                response
                    .headers_mut()
                    .insert(http::header::CONNECTION, close);
            }
            return response;
        }
        ConnectionReply::Hang => return pending().await,
        ConnectionReply::Reset => Interruption::Reset,
        ConnectionReply::Break(bytes) => Interruption::Break(bytes),
    };
    // Fails only when the connection has ended already.
    let _ = interrupt.send(interruption).await;
    pending().await
}

async fn write_all(stream: &TcpStream, mut bytes: Bytes) -> io::Result<()> {
    while bytes.has_remaining() {
        stream.writable().await?;
        match stream.try_write(&bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
