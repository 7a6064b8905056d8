//! What a report says of snapshots in every state, on paused time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::cloud::{Error, Request};
use crate::collection::scheduler::Scheduler;
use crate::collection::snapshot::{
    Attempt, CollectorState, Revision, Slot, Success, TaskState, TestKey,
};
use crate::collectors::license_general::{LicenseGeneral, defs};
use crate::collectors::{Collector, Collectors, Reading, Sample, Schedule};
use crate::config::{CollectorDefaults, CollectorSettings, Config, Environment};
use crate::metrics::MetricDef;
use crate::metrics::reason::Reason;

const NOON: &str = "2026-11-23T12:00:00Z";
const MAX_AGE: Duration = Duration::from_secs(600);

fn noon() -> Timestamp {
    NOON.parse().unwrap()
}

/// A collector that does not decide whether an account is up.
struct Further;

impl Collector for Further {
    fn name(&self) -> &'static str {
        "further"
    }

    fn metrics(&self) -> &'static [&'static MetricDef] {
        &[]
    }

    fn defaults(&self) -> Option<CollectorDefaults> {
        let Schedule {
            interval, max_age, ..
        } = Schedule::default();
        Some(CollectorDefaults {
            name: self.name(),
            settings: CollectorSettings {
                enabled: true,
                interval,
                max_age,
                max_rows: None,
            },
        })
    }

    fn request(&self) -> Request {
        LicenseGeneral.request()
    }

    fn reading(&self) -> Box<dyn Reading> {
        LicenseGeneral.reading()
    }
}

fn account(name: &str) -> Arc<AccountState> {
    account_of(name, &[&LicenseGeneral])
}

fn account_of(name: &str, collectors: Collectors) -> Arc<AccountState> {
    let slots = collectors.iter().map(|collector| {
        let revision = Revision::default();
        Slot::new(*collector, name, Schedule::default(), &revision)
    });
    Arc::new(AccountState {
        name: name.to_owned(),
        identity: String::new(),
        endpoint: String::new(),
        region: None,
        labels: BTreeMap::new(),
        key_source: Box::new(TestKey {
            spent: 7,
            ..TestKey::default()
        }),
        slots: slots.collect(),
    })
}

fn status(accounts: Vec<Arc<AccountState>>) -> Status {
    let environment = Environment::from([
        ("TENCENTCLOUD_SECRET_ID", "AKIDtest"),
        ("TENCENTCLOUD_SECRET_KEY", "unused"),
    ]);
    let config = Config::load(None, &environment, &[]).unwrap();
    let started = Instant::now();
    let clock = Clock::new(move || noon().checked_add(started.elapsed()).unwrap());
    Status {
        store: Arc::new(Store::new(accounts)),
        active: Arc::new(ActiveConfig::new(config, clock.moment())),
        liveness: Scheduler::new(0.0).liveness(),
        started_at: clock.moment(),
        clock,
    }
}

/// The state after a success with these counts, just now.
fn success(counts: &[(&'static MetricDef, f64)]) -> CollectorState {
    let samples = counts.iter();
    let samples = samples.map(|(metric, value)| Sample::new(metric, [], *value));
    CollectorState {
        last_attempt: Some(Attempt {
            at: Clock::new(noon).moment(),
            duration: Duration::from_secs(1),
            failure: None,
        }),
        last_success: Some(Success {
            at: Clock::new(noon).moment(),
            samples: samples.collect(),
            rows_hidden: None,
            requests: 1,
        }),
        ..CollectorState::default()
    }
}

/// The state after a failure that followed `before`.
fn failure(before: CollectorState) -> CollectorState {
    failure_for(Reason::Timeout, before)
}

fn failure_for(reason: Reason, before: CollectorState) -> CollectorState {
    CollectorState {
        last_attempt: Some(Attempt {
            at: Clock::new(noon).moment(),
            duration: Duration::from_secs(1),
            failure: Some(Box::new(Error::new(reason, "no answer"))),
        }),
        ..before
    }
}

fn names(report: &StatusReport) -> Vec<&str> {
    let accounts = report.accounts.iter();
    accounts.map(|account| account.account.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn values_that_are_too_old_are_not_reported_and_the_account_fails() {
    let a = account("a");
    a.slots[0].store(success(&[(defs::LICENSES, 9.0), (defs::EXPIRED, 1.0)]));
    let status = status(vec![a]);
    let first = status.report(&Query::default());
    assert_eq!(first.accounts[0].health, Health::Expired);
    assert!(first.accounts[0].up);
    assert_eq!(first.accounts[0].licences.total, Some(9));

    tokio::time::advance(MAX_AGE).await;
    let later = status.report(&Query::default());
    let (account, collector) = (&later.accounts[0], &later.accounts[0].collectors[0]);
    assert_eq!(account.health, Health::Failing);
    assert!(!account.up && collector.withdrawn);
    assert_eq!(collector.success, Some(true), "as its collection had");
    assert_eq!(account.licences.total, None);
    assert_eq!(collector.age_seconds.map(f64::round), Some(600.0));
    assert_eq!(later.health.of(Health::Failing), 1);
}

#[tokio::test(start_paused = true)]
async fn of_failing_accounts_those_without_values_come_first() {
    let [kept, bare, near, renewed] = ["kept", "no values", "near", "renewed"].map(account);
    kept.slots[0].store(failure(success(&[(defs::LICENSES, 9.0)])));
    bare.slots[0].store(failure(CollectorState::default()));
    for (account, renewal) in [(&near, 0.0), (&renewed, 1.0)] {
        let mut state = success(&[(defs::NEAR_EXPIRY, 1.0)]);
        let success = state.last_success.as_mut().unwrap();
        let switch = Sample::new(defs::SWITCH, ["auto_renewal".into()], renewal);
        success.samples = success.samples.iter().cloned().chain([switch]).collect();
        account.slots[0].store(state);
    }
    let status = status(vec![renewed, near, kept, bare, account("a")]);
    let report = status.report(&Query::default());
    assert_eq!(
        names(&report),
        ["no values", "kept", "near", "renewed", "a"]
    );
    assert_eq!(report.accounts[4].health, Health::Waiting);
    assert!(!report.accounts[4].up);
    assert_eq!(report.accounts[1].licences.total, Some(9));
    let failure = report.accounts[0].collectors[0].failure.as_ref().unwrap();
    assert_eq!(failure.remedy, Reason::Timeout.remedy());
}

#[tokio::test(start_paused = true)]
async fn the_brief_report_has_only_the_first_accounts_that_fail_alike() {
    let failing = (0..150).map(|number| {
        let failing = account(&format!("fail-{number}"));
        failing.slots[0].store(failure(CollectorState::default()));
        failing
    });
    let expired = account("expired");
    expired.slots[0].store(success(&[(defs::LICENSES, 9.0), (defs::EXPIRED, 1.0)]));
    let status = status(failing.chain([expired]).collect());
    let report = status.report_in_brief(&Query::default());
    assert_eq!(names(&report), ["fail-0", "fail-1", "fail-2", "expired"]);
    let kind = report.accounts[0].failure_kind.clone().unwrap();
    assert_eq!(report.left_out, HashMap::from([(kind, 147)]));
    assert_eq!(
        (report.health.of(Health::Failing), report.selected),
        (150, 4)
    );
    for url in ["health=failing", "q=timeout", "sort=name"] {
        let report = status.report_in_brief(&Query::parse(url));
        assert!(
            report.left_out.is_empty() && report.selected >= 150,
            "{url}"
        );
    }
    let report = status.report(&Query::default());
    assert_eq!(names(&report)[9..11], ["fail-9", "fail-10"]);
}

#[tokio::test(start_paused = true)]
async fn accounts_fail_alike_by_the_collector_that_decides() {
    let reasons = [Reason::Permission, Reason::Server].into_iter().cycle();
    let failing = reasons.take(6).enumerate().map(|(number, other_reason)| {
        let failing = account_of(&number.to_string(), &[&Further, &LicenseGeneral]);
        let before = CollectorState::default;
        failing.slots[0].store(failure_for(other_reason, before()));
        failing.slots[1].store(failure(before()));
        failing
    });
    let report = status(failing.collect()).report_in_brief(&Query::default());
    assert_eq!(names(&report), ["0", "1", "2"]);
    let kind = FailureKind {
        reason: "timeout",
        code: None,
    };
    assert_eq!(report.left_out, HashMap::from([(kind.clone(), 3)]));
    for account in &report.accounts {
        assert_eq!(account.failure_kind, Some(kind.clone()));
        assert_eq!(account.failure().unwrap().reason, "timeout");
    }
}

#[tokio::test(start_paused = true)]
async fn restored_values_count_but_are_marked() {
    let a = account("a");
    a.slots[0].store(CollectorState {
        last_attempt: None,
        restored: true,
        ..success(&[(defs::NEAR_EXPIRY, 2.0)])
    });
    let report = status(vec![a]).report(&Query::default());
    assert_eq!(report.accounts[0].health, Health::NearExpiry);
    assert!(!report.accounts[0].up && report.accounts[0].collectors[0].restored);
    assert!(!report.exporter.ready);
}

#[tokio::test(start_paused = true)]
async fn the_next_poll_is_reported_by_the_wall_clock() {
    let a = account("a");
    let status = status(vec![Arc::clone(&a)]);
    let told = || {
        let collector = status
            .report(&Query::default())
            .accounts
            .remove(0)
            .collectors
            .remove(0);
        (collector.collecting_since, collector.next_at)
    };
    assert_eq!(told(), (None, None));
    a.slots[0].set_task_state(TaskState::WaitsUntil(
        Instant::now() + Duration::from_secs(30),
    ));
    tokio::time::advance(Duration::from_secs(10)).await;
    let due: Timestamp = "2026-11-23T12:00:30Z".parse().unwrap();
    assert_eq!(told(), (None, Some(due)));
    tokio::time::advance(Duration::from_secs(20)).await;
    a.slots[0].set_task_state(TaskState::CollectsSince(Instant::now()));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(told(), (Some(due), None));
}

#[tokio::test(start_paused = true)]
async fn of_thousands_of_accounts_one_page_is_reported_and_all_are_counted() {
    let accounts = (0..2_345).map(|number| account(&format!("a{number:04}")));
    let status = status(accounts.collect());
    let query = Query {
        page: 24,
        ..Query::default()
    };
    let last = status.report(&query);
    assert_eq!((last.page, last.pages, last.selected), (24, 24, 2_345));
    assert_eq!((names(&last)[0], last.accounts.len()), ("a2300", 45));
    assert_eq!(last.health.of(Health::Waiting), 2_345);
    assert_eq!(
        last.accounts[0].collectors[0].budget.requests_last_minute,
        7
    );
}
