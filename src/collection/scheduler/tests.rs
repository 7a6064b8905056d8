use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future;
use http::Response;
use prometheus::Registry;
use proptest::prelude::*;

use super::*;
use crate::cloud::Fields;
use crate::cloud::api::fixture;
use crate::cloud::scripted::{self, Scripted, Sent, failure, success};
use crate::collection::snapshot::{Revision, Slot, TaskState};
use crate::collectors::general_stat::GeneralStat;
use crate::collectors::license_general::LicenseGeneral;
use crate::collectors::{Collected, Collector, Reading, Schedule};
use crate::config::CollectorDefaults;
use crate::metrics::MetricDef;
use crate::system::logging::fixture::CapturedLog;

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
                api.instruments(collector.request().action),
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tasks_start_soon_and_go_on_evenly_at_their_interval(
        seconds in 1_u64..90_000,
        count in 1_usize..2000,
        jitter in 0.0..1.0_f64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let interval = Duration::from_secs(seconds);
        let scheduler = Scheduler::new(jitter);
        let now = Instant::now();
        let new = vec![true; count];
        let all: Vec<Ticks> = scheduler.ticks(interval, &new).flatten().collect();
        prop_assert_eq!(all.len(), count);
        let soon = interval.min(FIRST_WITHIN).min(FIRST_SPACING * u32::try_from(count).unwrap());
        let mut places: Vec<Duration> = Vec::new();
        for ticks in all {
            let first = ticks.first - now;
            prop_assert!(first <= soon.max(MIN_GAP) + MAX_JITTER + MIN_GAP, "{first:?}");
            let (second, third) = {
                let second = ticks.next_tick(ticks.first);
                (second, ticks.next_tick(second))
            };
            prop_assert!(second > ticks.first && second - ticks.first <= interval);
            prop_assert_eq!(third - second, interval);
            places.push(second - now);
        }
        // A quarter of the interval has a quarter of the tasks, and those of one batch.
        places.sort();
        for (at, place) in places.iter().enumerate() {
            let quarter = places[at..].iter().take_while(|other| **other - *place < interval / 4);
            let batch = MAX_SHIFT.min(interval / SHIFT_PART).as_secs_f64() / interval.as_secs_f64();
            let part = count as f64 * (0.25 + batch);
            prop_assert!(quarter.count() as f64 <= part + 2.0, "{count} in {interval:?}");
        }
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
    accounts.guards.clear();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(accounts.scheduler.liveness().is_alive());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_collects_says_so_and_a_failure_is_logged() {
    let log = CapturedLog::start();
    let accounts = Accounts::start(1, &Scripted::hanging(), &LicenseGeneral);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let state = accounts.slots[0].task_state();
    assert!(matches!(state, TaskState::CollectsSince(since) if since.elapsed() > INTERVAL / 10));
    assert!(log.lines().is_empty());
    tokio::time::sleep(INTERVAL).await;
    let log = log.lines();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("collection failed") && log[0].contains("account 0"));
}

#[tokio::test(start_paused = true)]
async fn the_log_names_every_account_whose_deciding_collector_fails_and_ten_of_another() {
    let collectors: [(&'static dyn Collector, usize); 2] =
        [(&LicenseGeneral, 12), (&GeneralStat, 10)];
    for (collector, named) in collectors {
        let log = CapturedLog::start();
        let http = Scripted::new(|_| failure("InvalidAction"));
        let _accounts = Accounts::start(12, &http, collector);
        tokio::time::sleep(INTERVAL * 2).await;
        let log = log.lines();
        let failed = log.iter().filter(|line| line.contains("collection failed"));
        assert_eq!(failed.count(), named, "{log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_known_when_a_task_collects_next() {
    let http = Scripted::new(|_| success(r#"{"LicenseCnt":1}"#));
    let accounts = Accounts::start(2, &http, &LicenseGeneral);
    for (now, due) in [(10, 30), (40, 90), (100, 150)] {
        tokio::time::sleep_until(accounts.started + Duration::from_secs(now)).await;
        let due = accounts.started + Duration::from_secs(due);
        let TaskState::WaitsUntil(next) = accounts.slots[1].task_state() else {
            panic!("it does not wait");
        };
        // First collections move all places.
        assert!((due..due + Duration::from_secs(1)).contains(&next), "{now}");
    }
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
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert!(liveness.is_alive(), "a busy machine checks late");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!liveness.is_alive());
}
