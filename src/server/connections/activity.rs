//! The progress of one connection: its task records it, and the time limits and the
//! eviction order are read from it.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{ClientNetwork, HEAD_TIME, IDLE_TIME, SEND_TIME};

/// What one connection is doing.
#[derive(Debug)]
pub(in crate::server) struct ConnectionActivity {
    pub(super) network: ClientNetwork,
    /// Ends the connection at once.
    pub(in crate::server) abort: CancellationToken,
    /// Ends the connection once nothing is being answered.
    pub(in crate::server) shutdown: CancellationToken,
    progress: Mutex<ConnectionProgress>,
}

/// The instants from which the time limits count.
#[derive(Debug)]
struct ConnectionProgress {
    /// When the connection was opened, last sent a request, or last accepted a part of an
    /// answer that had to wait for the client.
    last_useful: Instant,
    /// Since when a handshake or a head is incomplete. HTTP/2 begins heads by frames,
    /// HTTP/1 by any bytes.
    head_since: Option<Instant>,
    /// Since when the client's side does not accept at once what is to be sent.
    blocked_since: Option<Instant>,
    /// When the client's side last accepted bytes while it was blocked.
    last_accepted: Instant,
    /// Requests that are being answered.
    answering: u32,
    is_http2: bool,
}

impl ConnectionProgress {
    fn accepted(&mut self) {
        let now = Instant::now();
        (self.last_useful, self.last_accepted) = (now, now);
    }
}

impl ConnectionActivity {
    /// A connection that has just been opened.
    pub(super) fn new(network: ClientNetwork) -> Self {
        let now = Instant::now();
        Self {
            network,
            abort: CancellationToken::new(),
            shutdown: CancellationToken::new(),
            progress: Mutex::new(ConnectionProgress {
                last_useful: now,
                head_since: Some(now),
                blocked_since: None,
                last_accepted: now,
                answering: 0,
                is_http2: false,
            }),
        }
    }

    /// The client has sent bytes, which restart no timer. In HTTP/1 they begin a request
    /// if none is being answered.
    pub(in crate::server) fn received(&self) {
        let mut progress = self.progress.lock();
        if !progress.is_http2 && progress.answering == 0 {
            progress.head_since.get_or_insert_with(Instant::now);
        }
    }

    /// A head has begun, now or earlier.
    pub(in crate::server) fn head_begins(&self) {
        self.progress
            .lock()
            .head_since
            .get_or_insert_with(Instant::now);
    }

    /// The head is complete.
    pub(in crate::server) fn head_ends(&self) {
        self.progress.lock().head_since = None;
    }

    /// From `now` on the connection speaks HTTP/2. Only the frames of a request's head end its
    /// idle time.
    pub(in crate::server) fn speaks_http2(&self, now: Instant) {
        self.requested(now);
        self.progress.lock().is_http2 = true;
    }

    /// A complete request came by `now`. In HTTP/2 the next head may have begun.
    pub(in crate::server) fn requested(&self, now: Instant) {
        let mut progress = self.progress.lock();
        if !progress.is_http2 {
            progress.head_since = None;
        }
        progress.last_useful = now;
    }

    /// A request is being answered until the returned value is dropped.
    pub(in crate::server) fn answering(&self) -> Answering<'_> {
        self.progress.lock().answering += 1;
        Answering(self)
    }

    /// The client's side has accepted bytes.
    pub(in crate::server) fn sent(&self) {
        let mut progress = self.progress.lock();
        if progress.blocked_since.is_some() {
            progress.accepted();
        }
    }

    /// The client has read a part of an answer.
    pub(in crate::server) fn read(&self) {
        self.progress.lock().last_useful = Instant::now();
    }

    /// The client's side accepts nothing at the moment.
    pub(in crate::server) fn blocked(&self) {
        let mut progress = self.progress.lock();
        if progress.blocked_since.is_none() {
            progress.accepted();
            progress.blocked_since = Some(progress.last_accepted);
        }
    }

    /// The client's side has accepted everything.
    pub(in crate::server) fn flushed(&self) {
        self.progress.lock().blocked_since = None;
    }

    /// The eviction order among connections of equally large networks: the smallest goes
    /// first, and connections that wait for an answer go last.
    pub(super) fn eviction_key(&self, neighbours: usize) -> impl Ord + use<> {
        let progress = self.progress.lock();
        let waits = progress.answering > 0;
        (waits, std::cmp::Reverse(neighbours), progress.last_useful)
    }

    /// Whether the client has exceeded a time limit. It may accept nothing for `stall`.
    pub(super) fn is_overdue(&self, stall: Duration) -> bool {
        let progress = self.progress.lock();
        let exceeds = |since: Instant, limit| since.elapsed() > limit;
        if let Some(blocked) = progress.blocked_since {
            return exceeds(progress.last_accepted, stall) || exceeds(blocked, SEND_TIME);
        }
        (progress.head_since).is_some_and(|since| exceeds(since, HEAD_TIME))
            || progress.answering == 0 && exceeds(progress.last_useful, IDLE_TIME)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(in crate::server) struct Answering<'a>(&'a ConnectionActivity);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.progress.lock().answering -= 1;
    }
}
