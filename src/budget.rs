//! How many requests may be sent: a rate per credential and action, which is what
//! the cloud counts, and a number in flight for the whole process.

use std::collections::HashMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What one second's worth of requests is stretched to.
///
/// The API counts requests as they arrive. An eighth of a second of slack keeps a
/// request that was held up on its way from sharing its second with one too many.
const PACED_SECOND: Duration = Duration::from_millis(1125);

/// Buckets below this number are never looked through for idle ones.
const SWEEP_FROM: usize = 64;

/// All the budgets of the process.
pub struct Budgets {
    rate_limit: NonZeroU32,
    in_flight: Arc<Semaphore>,
    buckets: Mutex<Buckets>,
}

#[derive(Default)]
struct Buckets {
    by_key: HashMap<(Box<str>, &'static str), Arc<Bucket>>,
    sweep_at: usize,
}

/// Leave to send one request. The place in flight is free again once it is dropped.
#[derive(Debug)]
pub struct Permit {
    /// How long the request waited for its turn.
    pub waited: Duration,
    _in_flight: Option<OwnedSemaphorePermit>,
}

impl Budgets {
    /// Budgets of `rate_limit` requests a second for each credential and action,
    /// and `max_in_flight` requests at a time for all of them.
    #[must_use]
    pub fn new(rate_limit: NonZeroU32, max_in_flight: NonZeroUsize) -> Self {
        Self {
            rate_limit,
            in_flight: Arc::new(Semaphore::new(
                max_in_flight.get().min(Semaphore::MAX_PERMITS),
            )),
            buckets: Mutex::default(),
        }
    }

    /// Requests a second for each credential and action.
    #[must_use]
    pub fn rate_limit(&self) -> NonZeroU32 {
        self.rate_limit
    }

    /// Waits until one more request of `credential` for `action` may be sent.
    ///
    /// Requests of one bucket go in the order in which they asked. The place in
    /// flight is taken before the rate is spent: the other way round, requests that
    /// had already spent their rate would leave together when places become free.
    pub async fn permit(&self, credential: &str, action: &'static str) -> Permit {
        let asked = Instant::now();
        let bucket = self.bucket(credential, action);
        let _turn = bucket.turn.lock().await;
        // The semaphore is never closed, so this is always a place.
        let in_flight = Arc::clone(&self.in_flight).acquire_owned().await.ok();
        while let Err(not_yet) = bucket.limiter.check() {
            tokio::time::sleep(not_yet.wait_time_from(bucket.limiter.clock().now())).await;
        }
        Permit {
            waited: asked.elapsed(),
            _in_flight: in_flight,
        }
    }

    fn bucket(&self, credential: &str, action: &'static str) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
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

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgets")
            .field("rate_limit", &self.rate_limit)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

struct Bucket {
    /// Held by the request whose turn it is, so that a bucket never holds more
    /// than one place in flight while it waits for its rate.
    turn: tokio::sync::Mutex<()>,
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
}

impl Bucket {
    fn new(rate_limit: NonZeroU32) -> Self {
        let spacing = PACED_SECOND / rate_limit.get();
        let quota = Quota::with_period(spacing.max(Duration::from_nanos(1)))
            .unwrap_or_else(|| Quota::per_second(rate_limit));
        Self {
            turn: tokio::sync::Mutex::new(()),
            limiter: RateLimiter::direct_with_clock(quota, TokioClock(Instant::now())),
        }
    }

    /// Whether somebody waits in it, or it still remembers a request.
    fn in_use(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || self.limiter.check().is_err()
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
mod tests {
    use super::*;

    fn budgets(rate_limit: u32, max_in_flight: usize) -> Arc<Budgets> {
        Arc::new(Budgets::new(
            NonZeroU32::new(rate_limit).unwrap(),
            NonZeroUsize::new(max_in_flight).unwrap(),
        ))
    }

    /// The moments at which `count` permits for `credential` are granted.
    async fn grants(budgets: &Arc<Budgets>, credential: &'static str, count: usize) -> Vec<f64> {
        let start = Instant::now();
        let tasks: Vec<_> = (0..count)
            .map(|_| {
                let budgets = Arc::clone(budgets);
                tokio::spawn(async move {
                    budgets.permit(credential, "DescribeLicenseGeneral").await;
                    start.elapsed().as_secs_f64()
                })
            })
            .collect();
        let mut moments = Vec::new();
        for task in tasks {
            moments.push(task.await.unwrap());
        }
        moments.sort_by(f64::total_cmp);
        moments
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_ever_holds_more_requests_than_the_rate_limit() {
        let moments = grants(&budgets(20, 64), "AKIDa", 100).await;
        let most = moments
            .iter()
            .map(|start| {
                let second = *start..=*start + 1.0;
                moments
                    .iter()
                    .filter(|moment| second.contains(moment))
                    .count()
            })
            .max();
        assert!(most <= Some(20), "{most:?} in one second: {moments:?}");
        let whole = moments.last().unwrap();
        assert!((5.0..6.0).contains(whole), "100 took {whole} s");
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_have_budgets_of_their_own() {
        let budgets = budgets(1, 64);
        let (a, b) = tokio::join!(grants(&budgets, "AKIDa", 3), grants(&budgets, "AKIDb", 3));
        assert!(a.last().unwrap() < &3.0 && b.last().unwrap() < &3.0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_are_in_flight_than_allowed() {
        let budgets = budgets(1000, 2);
        let first = budgets.permit("AKIDa", "A").await;
        let _second = budgets.permit("AKIDb", "A").await;
        let third = budgets.permit("AKIDc", "A");
        tokio::pin!(third);
        let blocked = tokio::time::timeout(Duration::from_secs(60), &mut third).await;
        assert!(blocked.is_err());
        drop(first);
        assert!(third.await.waited >= Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_says_how_long_it_waited() {
        let budgets = budgets(2, 64);
        assert_eq!(budgets.permit("AKIDa", "A").await.waited, Duration::ZERO);
        let waited = budgets.permit("AKIDa", "A").await.waited;
        assert!((0.5..0.6).contains(&waited.as_secs_f64()), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn buckets_of_rotated_keys_do_not_pile_up() {
        let budgets = budgets(10, 64);
        for key in 0..1000 {
            budgets.permit(&format!("AKID{key}"), "A").await;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let left = budgets.buckets.lock().unwrap().by_key.len();
        assert!(left <= 2 * SWEEP_FROM, "{left} buckets");
    }
}
