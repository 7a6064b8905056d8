//! A connection that speaks HTTP/2. Each stream is answered by a task of its own.

mod heads;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderValue, Response, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::io::InspectReader;

use super::body::Body;
use super::connections::ConnectionActivity;
use super::responder::Responder;
use super::router::Router;
use super::{MAX_HEAD, MAX_STREAMS, SEND_TIME};
use heads::Heads;

/// The send buffer of each stream, in bytes: one frame.
const SEND_BUFFER: usize = 16 * 1024;

/// The interval between two checks of a client that grants no capacity.
const STALL_CHECK: Duration = Duration::from_secs(1);

/// Sends the answers of a connection.
#[derive(Clone)]
struct Sender {
    activity: Arc<ConnectionActivity>,
    router: Arc<Router>,
}

/// Serves a connection until its client leaves, or everything is answered and the connection
/// is shut down.
pub(super) async fn serve<T>(stream: T, responder: Responder) -> Result<(), h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let sender = Sender {
        activity: Arc::clone(&responder.activity),
        router: Arc::clone(&responder.request_limiter.router),
    };
    let mut heads = Heads::new(Arc::clone(&sender.activity));
    let stream = InspectReader::new(stream, move |bytes: &[u8]| heads.received(bytes));
    // The library limits floods of streams that are opened and reset.
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .handshake::<_, Bytes>(stream)
        .await?;
    sender.activity.speaks_http2(Instant::now());
    let mut streams = JoinSet::new();
    let (mut is_shutdown, mut has_late_stream) = (false, false);
    // When a connection with a late stream ends although its client has not left.
    let mut end = None;
    loop {
        end = match end {
            _ if !has_late_stream || !streams.is_empty() => None,
            None => Some(Instant::now() + sender.stall_time()),
            end => end,
        };
        let ended = tokio::time::sleep_until(end.unwrap_or_else(Instant::now));
        let accepted = tokio::select! {
            biased;
            () = sender.activity.shutdown.cancelled(), if !is_shutdown => {
                is_shutdown = true;
                connection.graceful_shutdown();
                continue;
            }
            Some(stream) = streams.join_next() => {
                // A late client gets no further streams, but its other answers go on.
                if matches!(stream, Ok(Err(Late))) && !has_late_stream {
                    has_late_stream = true;
                    connection.graceful_shutdown();
                }
                continue;
            }
            accepted = connection.accept() => accepted,
            () = ended, if end.is_some() => return Ok(()),
        };
        let Some(accepted) = accepted else {
            return Ok(());
        };
        let (request, respond) = accepted?;
        let response = responder.respond(request);
        streams.spawn(sender.clone().answer(response, respond));
    }
}

/// The client exceeded a time limit of answers.
struct Late;

impl Sender {
    /// Sends a response, unless the client resets the stream.
    async fn answer(
        self,
        response: impl Future<Output = Response<Body>>,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), Late> {
        let response = tokio::select! {
            biased;
            _ = poll_fn(|context| respond.poll_reset(context)) => return Ok(()),
            response = response => response,
        };
        let (mut head, body) = response.into_parts();
        if let Some(length) = body.length() {
            let length = HeaderValue::from(length);
            head.headers.entry(header::CONTENT_LENGTH).or_insert(length);
        }
        if let Some(date) = self.date() {
            head.headers.entry(header::DATE).or_insert(date);
        }
        let response = Response::from_parts(head, ());
        // Other errors mean that the client has left, or has reset the stream.
        if let Ok(mut stream) = respond.send_response(response, body.is_empty())
            && !body.is_empty()
            && let Err(Late) = self.send(&mut stream, body).await
        {
            stream.send_reset(Reason::CANCEL);
            return Err(Late);
        }
        Ok(())
    }

    fn stall_time(&self) -> Duration {
        self.router.bodies.limits().stall_time()
    }

    /// The time of day for the header `Date`.
    fn date(&self) -> Option<HeaderValue> {
        let seconds =
            u64::try_from(self.router.bodies.exposition().clock().now().as_second()).ok()?;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        HeaderValue::from_str(&httpdate::fmt_http_date(now)).ok()
    }

    /// Sends a body, each part once the client grants capacity. The rest is dropped if the
    /// client is late.
    async fn send(&self, stream: &mut SendStream<Bytes>, mut body: Body) -> Result<(), Late> {
        let until = Instant::now() + SEND_TIME;
        while let Some(piece) = body.next() {
            let Ok(mut piece) = piece else {
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            };
            while !piece.is_empty() {
                let Some(capacity) = self.capacity(stream, piece.len(), until).await? else {
                    return Ok(());
                };
                let part = piece.split_to(capacity.min(piece.len()));
                let is_last = piece.is_empty() && body.is_empty();
                if stream.send_data(part, is_last).is_err() || is_last {
                    return Ok(());
                }
            }
        }
        // The client may have left.
        let _ = stream.send_data(Bytes::new(), true);
        Ok(())
    }

    /// The capacity for `wanted` bytes, as soon as the client grants some; none once the
    /// stream is reset.
    async fn capacity(
        &self,
        stream: &mut SendStream<Bytes>,
        wanted: usize,
        until: Instant,
    ) -> Result<Option<usize>, Late> {
        stream.reserve_capacity(wanted.min(SEND_BUFFER));
        let at_once = stream.capacity();
        if at_once > 0 {
            return Ok(Some(at_once));
        }
        let since = Instant::now();
        loop {
            let check = until.min(Instant::now() + STALL_CHECK);
            let capacity = poll_fn(|context| stream.poll_capacity(context));
            match tokio::time::timeout_at(check, capacity).await {
                Ok(Some(Ok(capacity))) => {
                    self.activity.read();
                    return Ok(Some(capacity));
                }
                Ok(_) => return Ok(None),
                Err(_) if check == until || since.elapsed() >= self.stall_time() => {
                    return Err(Late);
                }
                Err(_) => {}
            }
        }
    }
}
