//! One client's connection.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::headers;
use super::refusal::Refusal;
use super::reply::{ConnectionReply, Interruption, ReplyBody};
use super::state::SimulatorState;
use super::verify::{self, ReceivedRequest};

/// How long a request's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves one connection until its end.
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
            let mut stream = connection.into_parts().io.into_inner();
            match interruption {
                Interruption::Reset => stream.set_zero_linger(),
                Interruption::Break(bytes) => stream.write_all(&bytes).await,
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
) -> Response<ReplyBody> {
    let at = Instant::now();
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, verify::MAX_BODY);
    let body = match timeout(BODY_TIMEOUT, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(verify::too_large()),
        Ok(Err(_)) | Err(_) => Err(Refusal::new(
            "InvalidRequest",
            "The request's body could not be read to its end.",
        )),
    };
    let unread = body.is_err();
    let request = ReceivedRequest {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
        body: body.as_deref().unwrap_or_default(),
    };
    let verdict = match &body {
        Ok(_) => state.decide(&request, at),
        Err(refusal) => Err(state.refuse(&request, at, refusal.clone())),
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
    match reply {
        ConnectionReply::Respond(mut response) => {
            if unread {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            response
        }
        ConnectionReply::Hang => pending().await,
        ConnectionReply::Interrupt(interruption) => {
            // Fails only when the connection has ended already.
            let _ = interrupt.send(interruption).await;
            pending().await
        }
    }
}
