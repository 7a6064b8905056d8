//! A connection that speaks HTTP/2: its streams are answered each for itself.

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

use super::answers::AnswerLimits;
use super::body::Body;
use super::connection::Responder;
use super::connections::ConnectionActivity;
use super::{MAX_HEAD, MAX_STREAMS, SEND_TIME};
use crate::system::clock::Clock;
use heads::Heads;

/// How much of each answer that the client has allowed may wait to be sent: one frame.
const SEND_BUFFER: usize = 16 * 1024;

/// How often a client that allows nothing of an answer is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What it takes to send the answers of a connection.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) activity: Arc<ConnectionActivity>,
    pub(super) limits: Arc<AnswerLimits>,
    pub(super) clock: Clock,
}

/// Serves a connection until its client leaves, or all is answered and the connection is
/// to finish.
pub(super) async fn serve<T>(
    stream: T,
    responder: Responder,
    sender: Sender,
) -> Result<(), h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut heads = Heads::new(Arc::clone(&sender.activity));
    let stream = InspectReader::new(stream, move |bytes: &[u8]| heads.received(bytes));
    // That streams are begun and given up in a flood is limited by the library.
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .handshake::<_, Bytes>(stream)
        .await?;
    sender.activity.speaks_http2(Instant::now());
    let mut streams = JoinSet::new();
    let (mut told, mut given_up) = (false, false);
    // Until when a client that has been given up may take the rest, and leave.
    let mut until = None;
    loop {
        until = match until {
            _ if !given_up || !streams.is_empty() => None,
            None => Some(Instant::now() + sender.limits.stall_time()),
            until => until,
        };
        let leave = tokio::time::sleep_until(until.unwrap_or_else(Instant::now));
        let accepted = tokio::select! {
            biased;
            () = sender.activity.until_to_finish(), if !told => {
                told = true;
                connection.graceful_shutdown();
                continue;
            }
            Some(ended) = streams.join_next() => {
                // Whoever lets an answer wait that long is not kept for more, but what
                // else is under way goes on.
                if matches!(ended, Ok(Ended::GivenUp)) && !given_up {
                    given_up = true;
                    connection.graceful_shutdown();
                }
                continue;
            }
            accepted = connection.accept() => accepted,
            () = leave, if until.is_some() => return Ok(()),
        };
        let Some(accepted) = accepted else {
            return Ok(());
        };
        let (request, respond) = accepted?;
        let response = responder.respond(request);
        streams.spawn(sender.clone().answer(response, respond));
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Its answer is sent, or the client wants it no more.
    Done,
    /// The client took too long.
    GivenUp,
}

/// The client took too long.
struct Late;

impl Sender {
    /// Sends a response, unless the client gives it up or takes too long.
    async fn answer(
        self,
        response: impl Future<Output = Response<Body>>,
        mut respond: SendResponse<Bytes>,
    ) -> Ended {
        let response = tokio::select! {
            biased;
            _ = poll_fn(|context| respond.poll_reset(context)) => return Ended::Done,
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
        // Other errors mean that the client has left, or has given it up.
        if let Ok(mut stream) = respond.send_response(response, body.is_empty())
            && !body.is_empty()
            && let Err(Late) = self.send(&mut stream, body).await
        {
            stream.send_reset(Reason::CANCEL);
            return Ended::GivenUp;
        }
        Ended::Done
    }

    /// The time of day for the header `Date`.
    fn date(&self) -> Option<HeaderValue> {
        let seconds = u64::try_from(self.clock.now().as_second()).ok()?;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        HeaderValue::from_str(&httpdate::fmt_http_date(now)).ok()
    }

    /// Sends a body, each part once the client allows that. The rest waits here, and is
    /// let go of if the client takes too long.
    async fn send(&self, stream: &mut SendStream<Bytes>, mut body: Body) -> Result<(), Late> {
        let until = Instant::now() + SEND_TIME;
        while let Some(piece) = body.next() {
            let Ok(mut piece) = piece else {
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            };
            while !piece.is_empty() {
                let Some(allowed) = self.allowed(stream, piece.len(), until).await? else {
                    return Ok(());
                };
                let part = piece.split_to(allowed.min(piece.len()));
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

    /// How many bytes of so many the client allows to be sent, as soon as it allows some;
    /// nothing once it wants no more.
    async fn allowed(
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
            let look = until.min(Instant::now() + LOOK);
            let capacity = poll_fn(|context| stream.poll_capacity(context));
            match tokio::time::timeout_at(look, capacity).await {
                Ok(Some(Ok(capacity))) => {
                    self.activity.read();
                    return Ok(Some(capacity));
                }
                Ok(_) => return Ok(None),
                Err(_) if look == until || since.elapsed() >= self.limits.stall_time() => {
                    return Err(Late);
                }
                Err(_) => {}
            }
        }
    }
}
