//! When to collect: one task for each account and collector. First collections come soon;
//! later collections are spread evenly over the interval. No task can hold up another task.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::collection::Collection;
use crate::collection::failure_log::FailureLog;

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

/// Starts that are closer together than this form batches.
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
        self.tasks.spawn(async move {
            stopped.run_until_cancelled(repeat(collection, ticks)).await;
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
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.elapsed() < STOPPED_AFTER
    }
}

/// Notes again and again that none of the `wanted` tasks has died.
async fn check(liveness: Liveness, tasks: TaskTracker, wanted: Arc<AtomicUsize>) {
    let mut checks = tokio::time::interval(CHECK_EVERY);
    checks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while tasks.len() >= wanted.load(Ordering::Relaxed) {
        *liveness.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        checks.tick().await;
    }
    tracing::error!(
        "a collection task has ended unexpectedly; restart the exporter and report this"
    );
}

impl Ticks {
    /// First at `first`, then at `place`, as long before it as it takes, and every `interval`
    /// from there on: no two collections are further apart than an interval.
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
    /// A collection that outlasts its interval costs the ticks it overran. Making up for
    /// them would burst; going on at once would undo the even spread.
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

async fn repeat(collection: Arc<Collection>, ticks: Ticks) {
    let mut log = FailureLog::default();
    let mut tick = ticks.first;
    loop {
        collection.set_due(tick);
        tokio::time::sleep_until(tick).await;
        // Boxed, so that a task that waits, as nearly all do, holds nothing of it.
        let outcome = Box::pin(collection.run()).await;
        log.record(collection.account(), collection.collector(), &outcome);
        tick = ticks.next_tick(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use futures_util::future;
    use http::Response;
    use prometheus::Registry;

    use super::*;
    use crate::cloud::Fields;
    use crate::cloud::api::fixture;
    use crate::cloud::scripted::{self, Scripted, Sent, failure, success};
    use crate::collection::snapshot::{Revision, Slot};
    use crate::collectors::license_general::LicenseGeneral;
    use crate::collectors::{Collected, Collector, Reading, Schedule};
    use crate::config::CollectorDefaults;
    use crate::metrics::MetricDef;

    const INTERVAL: Duration = Duration::from_secs(60);

    /// Accounts `AKID0`, `AKID1`, … that are collected over `http` by `collector`.
    struct Accounts {
        scheduler: Scheduler,
        slots: Vec<Slot>,
        guards: Vec<DropGuard>,
        started: Instant,
    }

    impl Accounts {
        fn start(count: usize, http: &Arc<Scripted>, collector: &'static dyn Collector) -> Self {
            Self::start_every(INTERVAL, count, http, collector)
        }

        fn start_every(
            interval: Duration,
            count: usize,
            http: &Arc<Scripted>,
            collector: &'static dyn Collector,
        ) -> Self {
            let registry = Registry::new();
            let api = Arc::new(fixture::client(&registry, Arc::clone(http), 20, 64));
            let slots: Vec<_> = (0..count)
                .map(|_| Slot::new(collector, "a", Schedule::default(), &Revision::default()))
                .collect();
            let scheduler = Scheduler::new(0.0);
            let started = Instant::now();
            let new = vec![true; count];
            let ticks = scheduler.ticks(interval, &new).flatten();
            let guards = slots.iter().zip(ticks).enumerate();
            let guards = guards.map(|(number, (slot, ticks))| {
                let collection = Collection::new(
                    Arc::clone(&api),
                    fixture::target(&format!("AKID{number}")),
                    format!("account {number}"),
                    slot.clone(),
                    api.instruments(collector.request().action).unwrap(),
                    scripted::clock(),
                );
                scheduler.spawn(Arc::new(collection), ticks)
            });
            let guards = guards.collect();
            Self {
                scheduler,
                slots,
                guards,
                started,
            }
        }

        /// When `secret_id` was asked, in seconds since the start.
        fn asked(&self, sent: &[Sent], secret_id: &str) -> Vec<u64> {
            sent.iter()
                .filter(|sent| sent.is_from(secret_id))
                .map(|sent| (sent.at - self.started).as_secs())
                .collect()
        }
    }

    /// The ticks of new tasks as seconds from now, with `jitter`: first and place.
    fn first_and_place(interval: Duration, count: usize, jitter: f64) -> Vec<(f64, f64)> {
        let scheduler = Scheduler::new(jitter);
        let now = Instant::now();
        let seconds = |at: Instant| ((at - now).as_secs_f64() * 1000.0).round() / 1000.0;
        let new = vec![true; count];
        let ticks = scheduler.ticks(interval, &new).flatten();
        ticks
            .map(|ticks| (seconds(ticks.first), seconds(ticks.place)))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn first_collections_come_soon_and_further_ones_are_spread_evenly() {
        assert_eq!(first_and_place(INTERVAL, 1, 0.5), [(0.6, 0.6)]);
        let four = [(0.4, 0.4), (0.1, 15.4), (0.2, 30.4), (0.3, 45.4)];
        assert_eq!(first_and_place(INTERVAL, 4, 0.0), four);
        let shifted = [(0.25, 12.25), (0.35, 12.75), (0.45, 13.25)];
        assert_eq!(first_and_place(INTERVAL, 120, 0.5)[..3], shifted);
        let hour = first_and_place(INTERVAL * 60, 6, 0.0);
        assert_eq!(hour[5], (0.5, 3000.6));
    }

    #[tokio::test(start_paused = true)]
    async fn first_collections_come_at_an_even_rate_within_a_minute_or_the_interval() {
        for (interval, count) in [
            (1, 3),
            (5, 1000),
            (60, 500),
            (60, 1000),
            (600, 100),
            (3600, 6),
            (3600, 3000),
            (3600, 10_000),
            (86_400, 601),
        ] {
            let every = Duration::from_secs(interval);
            let within = every.min(FIRST_WITHIN).as_secs_f64();
            let within = within.min(count as f64 / 10.0);
            let mut seconds = BTreeMap::new();
            for (first, place) in first_and_place(every, count, 0.0) {
                assert!(
                    first <= within.max(1.0),
                    "{first} of {count} every {interval} s"
                );
                let gap = place - first;
                assert!((0.0..interval as f64 + 0.001).contains(&gap), "{gap}");
                let second = Duration::from_secs_f64(first).as_secs();
                *seconds.entry(second).or_insert(0.0) += 1.0;
            }
            let most = seconds.values().copied().fold(0.0, f64::max);
            let even = count as f64 / within + 48.0_f64.min(count as f64 / 100.0);
            assert!(most <= even + 1.0, "{most} a second, {count}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn first_collections_and_further_ones_never_add_up() {
        let http = Scripted::new(|_| success(r#"{"LicenseCnt":1}"#));
        let _accounts = Accounts::start(500, &http, &LicenseGeneral);
        tokio::time::sleep(Duration::from_secs(240)).await;
        let sent = http.sent();
        for (number, first) in sent.iter().enumerate() {
            let second = sent[number..].iter();
            let second = second.take_while(|other| other.at - first.at < Duration::from_secs(1));
            assert!(second.count() <= 12, "{:?}", first.at - sent[0].at);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_accounts_are_collected_within_a_minute_of_the_start() {
        let open = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (under_way, peak) = (Arc::clone(&open), Arc::clone(&most));
        let http = Scripted::with(move |_, _| {
            peak.fetch_max(
                under_way.fetch_add(1, Ordering::Relaxed) + 1,
                Ordering::Relaxed,
            );
            let under_way = Arc::clone(&under_way);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                under_way.fetch_sub(1, Ordering::Relaxed);
                Ok(Response::new(Bytes::from(success(r#"{"LicenseCnt":1}"#))))
            })
        });
        let hour = Duration::from_secs(3600);
        let accounts = Accounts::start_every(hour, 10_000, &http, &LicenseGeneral);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let collected = accounts.slots.iter();
        let collected = collected.filter(|slot| slot.load().last_success.is_some());
        assert_eq!(collected.count(), 10_000);
        let mut seconds = BTreeMap::new();
        for sent in http.sent() {
            *seconds
                .entry((sent.at - accounts.started).as_secs())
                .or_insert(0) += 1;
        }
        let firsts = seconds.range(..FIRST_WITHIN.as_secs());
        assert!(
            firsts
                .map(|(_, sent)| sent)
                .all(|sent| (100..=220).contains(sent)),
            "{seconds:?}"
        );
        assert!(most.load(Ordering::Relaxed) <= 64, "{most:?} in flight");
    }

    #[tokio::test(start_paused = true)]
    async fn new_tasks_among_old_ones_wait_no_longer_than_an_interval_either() {
        let scheduler = Scheduler::new(0.0);
        for (old, new) in [(0, 100), (1000, 100), (1, 599), (5, 1)] {
            for new_first in [true, false] {
                let mut is_new = [vec![!new_first; old], vec![new_first; new]].concat();
                is_new.rotate_left(old / 2);
                for ticks in scheduler.ticks(INTERVAL, &is_new).flatten() {
                    let gap = ticks.place - ticks.first;
                    assert!(gap <= INTERVAL, "{gap:?} with {old} and {new}");
                    assert!(ticks.next_tick(ticks.first) - ticks.first <= INTERVAL);
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_two_collections_of_an_account_are_further_apart_than_the_interval() {
        let http = Scripted::new(|_| success(r#"{"LicenseCnt":1}"#));
        let hour = Duration::from_secs(3600);
        let accounts = Accounts::start_every(hour, 6, &http, &LicenseGeneral);
        tokio::time::sleep(hour * 3).await;
        let sent = http.sent();
        assert_eq!(accounts.asked(&sent, "AKID0"), [0, 3600, 7200]);
        assert_eq!(accounts.asked(&sent, "AKID1"), [0, 600, 4200, 7800]);
        assert_eq!(accounts.asked(&sent, "AKID5"), [0, 3000, 6600, 10_200]);
    }

    #[test]
    fn starts_that_would_come_thick_and_fast_are_a_few_at_a_time() {
        for (seconds, count, together) in [
            (60, 1000, 1),
            (60, 5000, 1),
            (60, 6000, 30),
            (60, 10_000, 48),
            (60, 100_000, 48),
            (3600, 100_000, 1),
            (1, 1000, 5),
        ] {
            let interval = Duration::from_secs(seconds);
            let starts: Vec<_> = offsets(count, interval).collect();
            let mut moments = BTreeMap::new();
            for (number, start) in starts.iter().enumerate() {
                *moments.entry(*start).or_insert(0) += 1;
                let even = interval.mul_f64(number as f64 / count as f64);
                let within = Duration::from_millis(300).min(interval / 200);
                assert!(even.abs_diff(*start) <= within, "{number} of {count}");
            }
            assert_eq!(moments.values().max(), Some(&together), "{count}");
            assert!(*starts.last().unwrap() < interval);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_accounts_never_burst() {
        let http = Scripted::new(|_| success(r#"{"LicenseCnt":1}"#));
        let _accounts = Accounts::start(1000, &http, &LicenseGeneral);
        tokio::time::sleep(Duration::from_millis(179_999)).await;
        let sent = http.sent();
        let mut seconds = BTreeMap::new();
        for each in &sent {
            *seconds.entry((each.at - sent[0].at).as_secs()).or_insert(0) += 1;
        }
        assert_eq!(seconds.len(), 180);
        // The first ones come at 1,000 in 57 s, which is 17.5 a second.
        assert!(
            seconds.values().all(|requests| *requests <= 18),
            "{seconds:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_api_delays_no_other_account() {
        let http = Scripted::with(|sent, _| {
            if sent.is_from("AKID0") {
                return Box::pin(future::pending());
            }
            let body = success(r#"{"LicenseCnt":1}"#);
            Box::pin(future::ready(Ok(Response::new(Bytes::from(body)))))
        });
        let accounts = Accounts::start(3, &http, &LicenseGeneral);
        tokio::time::sleep(Duration::from_secs(200)).await;
        let sent = http.sent();
        assert_eq!(accounts.asked(&sent, "AKID1"), [0, 20, 80, 140]);
        assert_eq!(accounts.asked(&sent, "AKID2"), [0, 40, 100, 160]);
    }

    #[tokio::test(start_paused = true)]
    async fn ticks_that_a_slow_answer_missed_are_not_replayed() {
        let http = Scripted::with(|_, _| {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(9)).await;
                Ok(Response::new(Bytes::from(failure("InvalidAction"))))
            })
        });
        let every = Duration::from_secs(4);
        let accounts = Accounts::start_every(every, 1, &http, &LicenseGeneral);
        tokio::time::sleep(Duration::from_secs(40)).await;
        assert_eq!(accounts.asked(&http.sent(), "AKID0"), [0, 12, 24, 36]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_a_counted_failure_of_one_account_and_no_outage() {
        struct Panics;
        impl Collector for Panics {
            fn name(&self) -> &'static str {
                "panics"
            }
            fn metrics(&self) -> &'static [&'static MetricDef] {
                &[]
            }
            fn request(&self) -> crate::cloud::Request {
                LicenseGeneral.request()
            }
            fn defaults(&self) -> Option<CollectorDefaults> {
                None
            }
            fn reading(&self) -> Box<dyn Reading> {
                Box::new(|_: &Fields| -> Collected { panic!("a bug in a collector") })
            }
        }
        let http = Scripted::new(|_| success("{}"));
        let accounts = Accounts::start(1, &http, &Panics);
        let liveness = accounts.scheduler.liveness();
        tokio::time::sleep(Duration::from_secs(121)).await;
        assert_eq!(accounts.slots[0].load().failures, 3);
        assert!(liveness.is_alive());
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_does_not_wait_for_calls_in_flight() {
        let http = Scripted::hanging();
        let accounts = Accounts::start(10, &http, &LicenseGeneral);
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert_eq!(http.sent().len(), 10);
        let stopping = Instant::now();
        accounts.scheduler.stop().await;
        assert_eq!(stopping.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_is_dropped_is_asked_no_more_and_the_others_go_on() {
        let http = Scripted::new(|_| success(r#"{"LicenseCnt":1}"#));
        let mut accounts = Accounts::start(2, &http, &LicenseGeneral);
        tokio::time::sleep(Duration::from_secs(70)).await;
        accounts.guards.remove(0);
        tokio::time::sleep(Duration::from_secs(100)).await;
        let sent = http.sent();
        assert_eq!(accounts.asked(&sent, "AKID0"), [0, 60]);
        assert_eq!(accounts.asked(&sent, "AKID1"), [0, 30, 90, 150]);
        assert!(accounts.scheduler.liveness().is_alive());
    }

    #[tokio::test(start_paused = true)]
    async fn the_scheduler_counts_as_stopped_when_a_task_has_died() {
        let tasks = TaskTracker::new();
        let death = CancellationToken::new();
        tasks.spawn(death.clone().cancelled_owned());
        tasks.close();
        let liveness = Liveness(Arc::new(Mutex::new(Instant::now())));
        tokio::spawn(check(liveness.clone(), tasks.clone(), Arc::new(1.into())));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(liveness.is_alive());
        death.cancel();
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!liveness.is_alive());
    }
}
