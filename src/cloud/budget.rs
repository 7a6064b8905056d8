//! How many requests may be sent: a rate per credential and action, which is what
//! the cloud counts, and a number in flight for the whole process.
//!
//! Accounts whose API hangs must not use up the permits of the others: a thousand hung
//! requests of ten seconds in every minute would hold 167 permits at any time.

mod recent;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::RateLimit;
use crate::system::waiting::WaitingCount;
use recent::Recent;

/// Buckets below this number are never looked through for idle ones.
const SWEEP_FROM: usize = 64;

/// How long a request may go unanswered before it must not delay others.
const PROMPT: Duration = Duration::from_secs(1);

/// How often an overdue request checks whether others wait.
const OVERDUE_POLL: Duration = Duration::from_millis(100);

/// All the budgets of the process.
pub struct Budgets {
    rate_limit: RateLimit,
    lanes: Arc<Lanes>,
    buckets: Mutex<Buckets>,
}

/// Which permits a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// For requests of accounts whose API answers.
    Prompt,
    /// For requests of accounts whose API did not answer the last time.
    Slow,
}

#[derive(Default)]
struct Buckets {
    by_key: HashMap<(Box<str>, &'static str), Arc<Bucket>>,
    sweep_at: usize,
}

/// Leave to send one request. It returns to its lane when dropped.
#[derive(Debug)]
pub struct Permit {
    /// How long the request waited for its turn.
    pub waited: Duration,
    lanes: Arc<Lanes>,
    lane: Lane,
    permit: Option<OwnedSemaphorePermit>,
    since: Instant,
}

/// The permits for requests in flight. A quarter of them is for accounts whose API hangs, so
/// that these cannot use up the permits of the others.
#[derive(Debug)]
struct Lanes {
    prompt: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    /// Requests that wait for a permit of the prompt lane.
    waiting: AtomicUsize,
    /// How long requests in the prompt lane usually take, in microseconds.
    usual: AtomicU64,
}

impl Budgets {
    /// Budgets of `rate_limit` for each credential and action, and `max_in_flight`
    /// requests at a time for all of them.
    #[must_use]
    pub fn new(rate_limit: RateLimit, max_in_flight: NonZeroUsize) -> Self {
        Self {
            rate_limit,
            lanes: Arc::new(Lanes::new(max_in_flight)),
            buckets: Mutex::default(),
        }
    }

    /// Requests a second for each credential and action.
    #[must_use]
    pub fn rate_limit(&self) -> RateLimit {
        self.rate_limit
    }

    /// Waits until one more request of `credential` for `action` may be sent.
    ///
    /// Requests of one bucket and lane are sent in the order in which they asked. The permit of
    /// the lane is taken before the rate is spent: the other way round, requests that had
    /// already spent their rate would be sent together when permits become free.
    pub async fn permit(&self, credential: &str, action: &'static str, lane: Lane) -> Permit {
        let asked = Instant::now();
        let bucket = self.bucket(credential, action);
        let _turn = match lane {
            Lane::Prompt => bucket.prompt_turn.lock().await,
            Lane::Slow => bucket.slow_turn.lock().await,
        };
        let permit = self.lanes.acquire(lane).await;
        while let Err(not_yet) = bucket.limiter.check() {
            tokio::time::sleep(not_yet.wait_time_from(bucket.limiter.clock().now())).await;
        }
        bucket.recent.lock().note();
        Permit {
            waited: asked.elapsed(),
            lanes: Arc::clone(&self.lanes),
            lane,
            permit,
            since: Instant::now(),
        }
    }

    /// How many requests of `credential` for `action` were allowed in the last minute,
    /// to within ten seconds.
    #[must_use]
    pub fn recent(&self, credential: &str, action: &'static str) -> u32 {
        let buckets = self.buckets.lock();
        let bucket = buckets.by_key.get(&(credential.into(), action));
        bucket.map_or(0, |bucket| bucket.recent.lock().sum())
    }

    fn bucket(&self, credential: &str, action: &'static str) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock();
        if buckets.by_key.len() >= buckets.sweep_at.max(SWEEP_FROM) {
            // A rotated key leaves its bucket behind; one at rest is as good as new.
            buckets.by_key.retain(|_, bucket| bucket.in_use());
            buckets.sweep_at = buckets.by_key.len() * 2;
        }
        let bucket = buckets
            .by_key
            .entry((credential.into(), action))
            .or_insert_with(|| Arc::new(Bucket::new(self.rate_limit)));
        Arc::clone(bucket)
    }
}

impl Lanes {
    fn new(max_in_flight: NonZeroUsize) -> Self {
        let all = max_in_flight.get().min(Semaphore::MAX_PERMITS);
        let slow = (all / 4).max(1);
        let prompt = Arc::new(Semaphore::new((all - slow).max(1)));
        Self {
            slow: if all > 1 {
                Arc::new(Semaphore::new(slow))
            } else {
                Arc::clone(&prompt)
            },
            prompt,
            waiting: AtomicUsize::new(0),
            usual: AtomicU64::new(0),
        }
    }

    async fn acquire(&self, lane: Lane) -> Option<OwnedSemaphorePermit> {
        // The semaphores are never closed, so every request gets a permit in the end.
        match lane {
            Lane::Slow => Arc::clone(&self.slow).acquire_owned().await.ok(),
            Lane::Prompt => {
                let _waiting = WaitingCount::new(&self.waiting);
                Arc::clone(&self.prompt).acquire_owned().await.ok()
            }
        }
    }

    /// How long a request may take before it is overdue: a second, or much longer
    /// than usual where the API is slow for everybody.
    fn patience(&self) -> Duration {
        PROMPT.max(Duration::from_micros(self.usual.load(Ordering::Relaxed)) * 4)
    }

    /// Notes how long a request in the prompt lane took.
    fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let usual = self.usual.load(Ordering::Relaxed);
        // A moving average; that a concurrent note may be lost does not matter.
        self.usual
            .store(usual / 8 * 7 + took / 8, Ordering::Relaxed);
    }
}

impl Permit {
    /// Returns when the request, still unanswered, must be given up because it delays others.
    /// Before that, the request moves to the slow lane, if the slow lane has a permit.
    pub async fn overdue(&mut self) {
        if self.lane == Lane::Slow {
            return std::future::pending().await;
        }
        let patience = self.lanes.patience();
        tokio::time::sleep_until(self.since + patience).await;
        loop {
            if let Ok(permit) = Arc::clone(&self.lanes.slow).try_acquire_owned() {
                self.permit = Some(permit);
                self.lane = Lane::Slow;
                return std::future::pending().await;
            }
            if self.lanes.waiting.load(Ordering::Relaxed) > 0 {
                // Should the API have become slow for everybody, this makes the next
                // requests more patient.
                self.lanes.note(patience * 2);
                return;
            }
            tokio::time::sleep(OVERDUE_POLL).await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.lane == Lane::Prompt {
            self.lanes.note(self.since.elapsed());
        }
    }
}

struct Bucket {
    /// Held by the next request, so that a bucket never holds more than one permit of a lane
    /// while it waits for its rate.
    prompt_turn: tokio::sync::Mutex<()>,
    slow_turn: tokio::sync::Mutex<()>,
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    recent: Mutex<Recent>,
}

impl Bucket {
    fn new(rate_limit: RateLimit) -> Self {
        let spacing = Duration::from_secs_f64(1.0 / rate_limit.sustained());
        let quota =
            Quota::with_period(spacing).unwrap_or_else(|| Quota::per_second(rate_limit.requests));
        Self {
            prompt_turn: tokio::sync::Mutex::new(()),
            slow_turn: tokio::sync::Mutex::new(()),
            limiter: RateLimiter::direct_with_clock(quota, TokioClock(Instant::now())),
            recent: Mutex::new(Recent::new()),
        }
    }

    /// Whether a request waits for the bucket, or was counted in the last minute.
    fn in_use(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || self.recent.lock().sum() > 0 || self.limiter.check().is_err()
    }
}

/// Governor's idea of a clock, on tokio's time so that tests can pause it.
#[derive(Debug, Clone)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests;
