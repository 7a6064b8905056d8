//! When to collect: one task for each account and collector. First collections come soon;
//! later collections are spread evenly over the interval. No task can hold up another task.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::collection::Collection;
use crate::collection::failure_log::{FailureLog, SharedLimit};

/// The widest shift of all starts, which keeps replicas that were started
/// together from asking together.
const MAX_JITTER: Duration = Duration::from_secs(1);

/// How long after the start the last first collection begins, so that all accounts are
/// collected a minute after the start.
const FIRST_WITHIN: Duration = Duration::from_secs(57);

/// How far apart two first collections are at the most: there are at least ten a second.
const FIRST_SPACING: Duration = Duration::from_millis(100);

/// The shortest time between the first collection of an account and its place in the
/// interval. Where the place comes sooner, the first collection waits for the place.
const MIN_GAP: Duration = Duration::from_secs(1);

/// Starts with a shorter distance form batches.
const BATCH_BELOW: Duration = Duration::from_millis(10);

/// How many tasks start at the same moment at the most: as many as may be in flight by
/// default for accounts that answer. A request sent by reqwest alone takes 93 us of processor
/// time in batches of 8 and 58 us in batches of 32, as caches are cold after each wait.
const MAX_BATCH: u128 = 48;

/// How far a start may be from its even place to join a batch.
const MAX_SHIFT: Duration = Duration::from_millis(300);

/// The same as a part of the interval, where that is less.
const SHIFT_PART: u32 = 200;

/// How often the tasks are checked.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long after the last check the scheduler counts as stopped.
const STOPPED_AFTER: Duration = Duration::from_secs(15);

/// Runs the tasks, as many as there are at a time.
#[derive(Debug)]
pub struct Scheduler {
    tasks: TaskTracker,
    stop: CancellationToken,
    liveness: Liveness,
    /// Tasks that were started and not asked to end.
    wanted: Arc<AtomicUsize>,
    jitter: f64,
    log_limit: Arc<SharedLimit>,
}

/// When one account is collected by one collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticks {
    first: Instant,
    place: Instant,
    interval: Duration,
}

/// Tells whether the scheduler is alive. A cheap handle.
#[derive(Debug, Clone)]
pub struct Liveness(Arc<Mutex<Instant>>);

impl Scheduler {
    /// A scheduler without tasks. `jitter`, in `0.0..1.0`, shifts all starts.
    ///
    /// Must be called on a tokio runtime, which checks the tasks from now on.
    #[must_use]
    pub fn new(jitter: f64) -> Self {
        let scheduler = Self {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            liveness: Liveness(Arc::new(Mutex::new(Instant::now()))),
            wanted: Arc::default(),
            jitter,
            log_limit: Arc::default(),
        };
        let checks = check(
            scheduler.liveness(),
            scheduler.tasks.clone(),
            Arc::clone(&scheduler.wanted),
        );
        let stop = scheduler.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(checks).await });
        scheduler
    }

    /// The ticks of `is_new.len()` tasks, of which those that are not new have none
    /// here: they keep their own.
    ///
    /// The first collections of the new ones come at an even rate within the interval or
    /// 57 s, whichever is shorter, and at least ten a second. After
    /// them every task has its place in the interval, evenly after that of the task before,
    /// so that new ones fall between the old ones. The places begin when the first
    /// collections end: both at once would ask for twice the budget.
    pub fn ticks<'a>(
        &self,
        interval: Duration,
        is_new: &'a [bool],
    ) -> impl Iterator<Item = Option<Ticks>> + use<'a> {
        let spacing = interval / tasks(is_new.len());
        let now = Instant::now() + spacing.min(MAX_JITTER).mul_f64(self.jitter);
        let new = is_new.iter().filter(|is_new| **is_new).count();
        let soon = interval.min(FIRST_WITHIN);
        let soon = soon.min(FIRST_SPACING.saturating_mul(tasks(new)));
        let mut firsts = offsets(new, soon);
        let places = offsets(is_new.len(), interval);
        is_new.iter().zip(places).map(move |(is_new, place)| {
            let first = if *is_new { firsts.next()? } else { return None };
            Some(Ticks::new(now + first, now + soon + place, interval))
        })
    }

    /// Collects at these `ticks`, until the guard is dropped.
    #[must_use]
    pub fn spawn(&self, collection: Arc<Collection>, ticks: Ticks) -> DropGuard {
        let stop = self.stop.child_token();
        let stopped = stop.clone();
        let wanted = Arc::clone(&self.wanted);
        wanted.fetch_add(1, Ordering::Relaxed);
        let log = if collection.slot().decides() {
            FailureLog::default()
        } else {
            FailureLog::limited(Arc::clone(&self.log_limit))
        };
        self.tasks.spawn(async move {
            stopped
                .run_until_cancelled(repeat(collection, ticks, log))
                .await;
            // Not reached by a task that dies of a panic.
            wanted.fetch_sub(1, Ordering::Relaxed);
        });
        stop.drop_guard()
    }

    /// Tells whether the scheduler is alive.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }

    /// Gives up the calls in flight, which change nothing in the cloud, and
    /// returns when every task has ended.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Liveness {
    /// Whether every task is alive and the runtime gets around to them.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.0.lock().elapsed() < STOPPED_AFTER
    }
}

/// Notes again and again that none of the `wanted` tasks has died.
async fn check(liveness: Liveness, tasks: TaskTracker, wanted: Arc<AtomicUsize>) {
    let mut checks = tokio::time::interval(CHECK_EVERY);
    while tasks.len() >= wanted.load(Ordering::Relaxed) {
        *liveness.0.lock() = Instant::now();
        checks.tick().await;
    }
    tracing::error!(
        "a collection task has ended unexpectedly; restart the exporter and report this"
    );
}

impl Ticks {
    /// The first tick is at `first`. The next tick is at `place`, or one interval earlier if
    /// that is still after `first`. Then there is a tick every `interval`, so that no two
    /// collections are further apart than an interval.
    fn new(first: Instant, place: Instant, interval: Duration) -> Self {
        let place = match place.checked_sub(interval) {
            Some(before) if before > first => before,
            _ => place,
        };
        let is_soon = place < first + MIN_GAP;
        Self {
            first: if is_soon { place } else { first },
            place,
            interval,
        }
    }

    /// The first tick after `now`.
    ///
    /// A collection that takes longer than its interval skips the ticks of this time. Making
    /// up for them would burst; going on at once would undo the even spread.
    fn next_tick(self, now: Instant) -> Instant {
        if now < self.place {
            return self.place;
        }
        let interval = self.interval.as_nanos().max(1);
        let since_tick = (now - self.place).as_nanos() % interval;
        let until_tick = u64::try_from(interval - since_tick).unwrap_or(u64::MAX);
        now + Duration::from_nanos(until_tick)
    }
}

/// As many as a duration can be divided by.
fn tasks(count: usize) -> u32 {
    u32::try_from(count.max(1)).unwrap_or(u32::MAX)
}

/// When each of `count` tasks starts: evenly over `span`, one after the other or, where
/// they are many, a few at a time.
fn offsets(count: usize, span: Duration) -> impl Iterator<Item = Duration> {
    let tasks = tasks(count);
    let spacing = span / tasks;
    let within = if spacing > BATCH_BELOW {
        Duration::ZERO
    } else {
        MAX_SHIFT.min(span / SHIFT_PART)
    };
    let batch = within.as_nanos() / spacing.as_nanos().max(1);
    let batch = u32::try_from(batch.clamp(1, MAX_BATCH)).unwrap_or(1);
    (0..tasks).map(move |task| {
        let first = task - task % batch;
        span.mul_f64(f64::from(first) / f64::from(tasks))
    })
}

async fn repeat(collection: Arc<Collection>, ticks: Ticks, mut log: FailureLog) {
    let mut tick = ticks.first;
    loop {
        collection.set_due(tick);
        tokio::time::sleep_until(tick).await;
        // Boxed, so that a waiting task, which is the usual case, uses no memory for it.
        let outcome = Box::pin(collection.run()).await;
        log.record(collection.account(), collection.collector(), &outcome);
        tick = ticks.next_tick(Instant::now());
    }
}

#[cfg(test)]
mod tests;
