//! What one connection is doing, as its task notes it and others judge it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::{ClientNetwork, HEAD_TIME, IDLE_TIME, SEND_TIME};

/// What one connection is doing. The times are milliseconds since the server began.
#[derive(Debug)]
pub(in crate::server) struct ConnectionActivity {
    pub(super) network: ClientNetwork,
    /// How many connections its network has, this one included.
    pub(super) neighbours: Arc<AtomicUsize>,
    epoch: Instant,
    /// When it was opened, last asked something, or last took something of an answer that
    /// it keeps waiting.
    useful: AtomicU64,
    /// Since when a handshake or a head is awaited whole; [`NEVER`] if none is. In HTTP/2
    /// the frames tell, in HTTP/1 that bytes come.
    head: AtomicU64,
    /// Since when there has been something to send that the client's side does not accept
    /// at once; [`NEVER`] if there is nothing.
    unsent: AtomicU64,
    /// When the client's side has last accepted some of that.
    accepted: AtomicU64,
    /// Requests that are being answered.
    asked: AtomicU32,
    /// Whether it speaks HTTP/2, in which more than requests comes.
    is_http2: AtomicBool,
    cut: AtomicBool,
    finish: AtomicBool,
    /// The connection's task.
    task: AtomicWaker,
}

const NEVER: u64 = u64::MAX;

/// A moment ago, which the next look at it says when. The clock is not read for each head.
const JUST_NOW: u64 = NEVER - 1;

impl ConnectionActivity {
    /// A connection that has just been opened.
    pub(super) fn new(
        network: ClientNetwork,
        neighbours: Arc<AtomicUsize>,
        epoch: Instant,
    ) -> Self {
        let now = millis(epoch.elapsed());
        Self {
            network,
            neighbours,
            epoch,
            useful: AtomicU64::new(now),
            head: AtomicU64::new(now),
            unsent: AtomicU64::new(NEVER),
            accepted: AtomicU64::new(now),
            asked: AtomicU32::new(0),
            is_http2: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            finish: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// The client has sent some bytes, over which no timer begins anew. In HTTP/1 a
    /// request begins with them if none is being answered.
    pub(in crate::server) fn received(&self) {
        if self.head.load(Ordering::Relaxed) == NEVER
            && self.asked.load(Ordering::Relaxed) == 0
            && !self.is_http2.load(Ordering::Relaxed)
        {
            self.head_begins();
        }
    }

    /// A head has begun, perhaps before.
    pub(in crate::server) fn head_begins(&self) {
        if self.head.load(Ordering::Relaxed) == NEVER {
            self.head.store(JUST_NOW, Ordering::Relaxed);
        }
    }

    /// The head that had begun is whole.
    pub(in crate::server) fn head_ends(&self) {
        self.head.store(NEVER, Ordering::Relaxed);
    }

    /// From `now` on the connection speaks HTTP/2: it is idle while no head has begun,
    /// whatever comes.
    pub(in crate::server) fn speaks_http2(&self, now: Instant) {
        self.head_ends();
        self.is_http2.store(true, Ordering::Relaxed);
        self.asked(now);
    }

    /// The client has sent a whole head by `now`. In HTTP/2 the next one may have begun.
    pub(in crate::server) fn asked(&self, now: Instant) {
        if !self.is_http2.load(Ordering::Relaxed) {
            self.head_ends();
        }
        self.useful.store(self.millis(now), Ordering::Relaxed);
    }

    /// A request is being answered, until what this returns is dropped.
    pub(in crate::server) fn answering(&self) -> Answering<'_> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Answering(self)
    }

    /// The client's side has accepted some bytes. What never waited was asked for just
    /// before.
    pub(in crate::server) fn sent(&self) {
        if self.is_blocked() {
            let now = self.now();
            self.useful.store(now, Ordering::Relaxed);
            self.accepted.store(now, Ordering::Relaxed);
        }
    }

    /// The client has read some of an answer.
    pub(in crate::server) fn read(&self) {
        self.useful.store(self.now(), Ordering::Relaxed);
    }

    /// The client's side accepts nothing at the moment.
    pub(in crate::server) fn blocked(&self) {
        if !self.is_blocked() {
            let now = self.now();
            self.useful.store(now, Ordering::Relaxed);
            self.accepted.store(now, Ordering::Relaxed);
            self.unsent.store(now, Ordering::Relaxed);
        }
    }

    /// Whether there is something to send that the client's side does not accept at once.
    fn is_blocked(&self) -> bool {
        self.unsent.load(Ordering::Relaxed) != NEVER
    }

    /// All that was to be sent has been accepted.
    pub(in crate::server) fn flushed(&self) {
        self.unsent.store(NEVER, Ordering::Relaxed);
    }

    /// Ends the connection, whatever it is doing.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.task.wake();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Returns when the connection is to be cut. Its task awaits this all the time, and
    /// is woken by it to [finish](Self::is_to_finish) too.
    pub(in crate::server) async fn until_cut(&self) {
        poll_fn(|context| self.poll_cut(context)).await;
    }

    fn poll_cut(&self, context: &mut Context<'_>) -> Poll<()> {
        self.task.register(context.waker());
        if self.is_cut() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Ends the connection once nothing is being answered.
    pub(super) fn finish(&self) {
        self.finish.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Returns when the connection is to finish. Its task is woken for that wherever it
    /// also [awaits](Self::until_cut) that the connection is to be cut.
    pub(in crate::server) async fn until_to_finish(&self) {
        poll_fn(|_| match self.is_to_finish() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Whether it is to end once nothing is being answered.
    pub(in crate::server) fn is_to_finish(&self) -> bool {
        self.finish.load(Ordering::Acquire)
    }

    /// What of others to spare it for, the least first.
    pub(super) fn worth(&self) -> impl Ord + use<> {
        let waits = self.asked.load(Ordering::Relaxed) > 0;
        let neighbours = self.neighbours.load(Ordering::Relaxed);
        let useful = self.useful.load(Ordering::Relaxed);
        (waits, std::cmp::Reverse(neighbours), useful)
    }

    /// Whether its client has taken too long, who may accept nothing for the time `stall`.
    pub(super) fn is_overdue(&self, stall: Duration) -> bool {
        let now = self.now();
        let longer = |since: &AtomicU64, limit: Duration| {
            let since = since.load(Ordering::Relaxed);
            since != NEVER && now.saturating_sub(since) > millis(limit)
        };
        if self.is_blocked() {
            return longer(&self.accepted, stall) || longer(&self.unsent, SEND_TIME);
        }
        let (seen, relaxed) = (self.head.load(Ordering::Relaxed), Ordering::Relaxed);
        if seen == JUST_NOW {
            // Unless the head has come whole meanwhile.
            let _ = self.head.compare_exchange(seen, now, relaxed, relaxed);
        }
        longer(&self.head, HEAD_TIME)
            || self.asked.load(Ordering::Relaxed) == 0 && longer(&self.useful, IDLE_TIME)
    }

    fn now(&self) -> u64 {
        self.millis(Instant::now())
    }

    fn millis(&self, moment: Instant) -> u64 {
        millis(moment.saturating_duration_since(self.epoch))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(JUST_NOW - 1)
}

/// A request that is being answered.
#[derive(Debug)]
pub(in crate::server) struct Answering<'p>(&'p ConnectionActivity);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
    }
}
