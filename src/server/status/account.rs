//! The report of one account.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::Selected;
use super::health::Health;
use super::licences::{AUTO_RENEWAL, Licences, whole};
use super::orders::{NextDeadline, Order, Orders};
use super::servers::{LogService, LogStorage, Servers};
use crate::collection::snapshot::{AccountState, CollectorState, Slot, TaskState};
use crate::collectors::license_general::defs;
use crate::collectors::license_list::LicenseList;
use crate::collectors::{Collector as _, Drift, Sample};
use crate::system::clock::TimePoint;

/// One account.
#[derive(Debug, Serialize)]
pub struct AccountReport {
    /// The configured name.
    pub account: String,
    /// The health.
    pub health: Health,
    /// The value of `tencentcloud_cwp_up`.
    pub up: bool,
    /// The endpoint of the API.
    pub endpoint: String,
    /// The configured region.
    pub region: Option<String>,
    /// The configured labels.
    pub labels: BTreeMap<String, String>,
    /// The licence counts.
    pub licences: Licences,
    /// The counts by edition.
    pub editions: BTreeMap<String, Edition>,
    /// Whether a switch is on.
    pub switches: BTreeMap<String, bool>,
    /// The protection that new servers get, in the API's own word.
    pub protect_type: Option<String>,
    /// The next deadline of an order that is not isolated, the log service's included.
    #[serde(rename = "next_deadline_at", serialize_with = "only_time")]
    pub next_deadline: Option<NextDeadline>,
    /// The orders of licences, the next deadline first; nothing while they are not known.
    pub orders: Option<Vec<Order<'static>>>,
    /// The order of the log service.
    pub log_service: Option<LogService>,
    /// The storage of the log service.
    pub log_storage: Option<LogStorage>,
    /// The servers.
    pub servers: Option<Servers>,
    /// The order whose end needs most attention.
    #[serde(skip)]
    pub urgent_order: Option<Order<'static>>,
    /// The key.
    pub credential: CredentialReport,
    /// The state of each collector.
    pub collectors: Vec<CollectorReport>,
    /// The reason and code that the account has in common with other failing accounts, if it
    /// fails.
    #[serde(skip)]
    pub failure_kind: Option<FailureKind>,
}

/// What accounts that fail alike have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FailureKind {
    /// One of the documented reasons.
    pub reason: &'static str,
    /// The API's own code, if it gave one.
    pub code: Option<String>,
}

impl FailureKind {
    /// The kind of the failure of the collector that decides whether `account` is up.
    pub(super) fn of(account: &AccountState) -> Option<Self> {
        let mut deciding = account.slots.iter().filter(|slot| slot.decides());
        deciding.find_map(|slot| {
            let state = slot.load();
            let failure = state.last_attempt.as_ref()?.failure.as_ref()?;
            Some(Self {
                reason: failure.reason.as_str(),
                code: failure.code.clone(),
            })
        })
    }
}

/// The counts of one edition.
#[derive(Debug, Default, Serialize)]
pub struct Edition {
    /// The licences of valid orders.
    pub licences: Option<u64>,
    /// Available for further servers.
    pub available: Option<u64>,
}

/// A key, of which only the source and the expiry are reported.
#[derive(Debug, Serialize)]
pub struct CredentialReport {
    /// The source of the key, in words.
    pub source: String,
    /// When the key expires, if that is known.
    pub expires_at: Option<Timestamp>,
}

/// One collector's state.
#[derive(Debug, Serialize)]
pub struct CollectorReport {
    /// Its name.
    pub collector: &'static str,
    /// Whether it decides whether the account is up.
    #[serde(skip)]
    pub decides: bool,
    /// The API action that it calls.
    pub action: &'static str,
    /// The interval of collections, in seconds.
    pub interval_seconds: f64,
    /// How long values are shown after a success, in seconds.
    pub max_age_seconds: f64,
    /// Whether the last collection succeeded; nothing before the first has ended.
    pub success: Option<bool>,
    /// Why the last collection failed, if it did.
    pub failure: Option<FailureReport>,
    /// When the last collection ended.
    pub last_attempt_at: Option<Timestamp>,
    /// When the last successful collection ended.
    pub last_success_at: Option<Timestamp>,
    /// The age of the values of the last success, in seconds.
    pub age_seconds: Option<f64>,
    /// Whether these values are too old to be shown.
    pub withdrawn: bool,
    /// The number of series shown.
    pub series: usize,
    /// The number of rows without a series, if the collector reads a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_hidden: Option<usize>,
    /// Whether the values come from the state folder, written by another process.
    pub restored: bool,
    /// How long the last collection took, in seconds.
    pub duration_seconds: Option<f64>,
    /// Collections that failed so far.
    pub failures: u64,
    /// Since when a collection is running.
    pub collecting_since: Option<Timestamp>,
    /// When the next collection begins, unless one is running.
    pub next_at: Option<Timestamp>,
    /// Fields that differed from their documentation.
    pub drift: Vec<Drift>,
    /// How much of the rate limit of this action the key has used.
    pub budget: Budget,
}

/// Why a collection failed.
#[derive(Debug, Serialize)]
pub struct FailureReport {
    /// One of the documented reasons.
    pub reason: &'static str,
    /// What happened, in words.
    pub message: String,
    /// The API's own code, if it gave one.
    pub code: Option<String>,
    /// The id of the call, for the support of the cloud.
    pub request_id: Option<String>,
    /// The remedy.
    pub remedy: String,
    /// The same in Chinese, if there is a translation.
    #[serde(skip)]
    pub remedy_in_chinese: Option<String>,
}

/// The use of a rate limit by a key, for all accounts with that key.
#[derive(Debug, Serialize)]
pub struct Budget {
    /// The requests of the last minute, to within ten seconds.
    pub requests_last_minute: u32,
    /// How many requests for this account a day takes, one for each page of a list.
    pub requests_per_day: u64,
    /// The requests that the key may send per second.
    pub limit_per_second: f64,
}

fn only_time<S: Serializer>(next: &Option<NextDeadline>, serializer: S) -> Result<S::Ok, S::Error> {
    next.map(|next| next.at).serialize(serializer)
}

impl AccountReport {
    pub(super) fn new(
        Selected {
            urgency,
            failure,
            next_deadline,
            account,
        }: &Selected<'_>,
        now: TimePoint,
        limit_per_second: f64,
    ) -> Self {
        let mut report = Self {
            account: account.name.clone(),
            health: urgency.health,
            failure_kind: failure.clone(),
            up: account.is_up(now),
            endpoint: account.endpoint.clone(),
            region: account.region.clone(),
            labels: account.labels.clone(),
            licences: Licences::default(),
            editions: BTreeMap::new(),
            switches: BTreeMap::new(),
            protect_type: None,
            next_deadline: *next_deadline,
            orders: None,
            log_service: None,
            log_storage: None,
            servers: None,
            urgent_order: None,
            credential: CredentialReport {
                source: account.key_source.text(),
                expires_at: account.key_source.expires_at(),
            },
            collectors: Vec::new(),
        };
        let states: Vec<_> = account
            .slots
            .iter()
            .map(|slot| (slot, slot.load()))
            .collect();
        let samples = states
            .iter()
            .filter_map(|(slot, state)| slot.samples(state, now));
        let orders = Orders::read(samples.flatten(), now.wall.as_second());
        report.urgent_order = orders.most_urgent().cloned().map(Order::into_owned);
        report.log_service = orders.log_service.as_ref().map(LogService::new);
        let licences = orders.licences.into_iter().map(Order::into_owned);
        let list = states
            .iter()
            .find(|(slot, _)| slot.collector().name() == LicenseList.name());
        let is_known = list.is_some_and(|(slot, state)| slot.samples(state, now).is_some());
        report.orders = is_known.then(|| licences.collect());
        for (slot, state) in &states {
            let samples = slot.samples(state, now);
            for sample in samples.unwrap_or_default() {
                report.add(sample);
            }
            let action = slot.collector().request().action;
            let budget = Budget {
                requests_last_minute: account.key_source.spent(action),
                requests_per_day: slot.schedule().requests_per_day(state.requests()),
                limit_per_second,
            };
            let collector = CollectorReport::new(slot, state, now, samples, budget);
            report.collectors.push(collector);
        }
        report
    }

    fn add(&mut self, sample: &Sample) {
        self.licences.add(sample);
        Servers::add(&mut self.servers, sample);
        LogStorage::add(&mut self.log_storage, sample);
        let (label, value) = (sample.label(), whole(sample.value));
        match sample.metric.name {
            name if name == defs::EDITION.name => self.edition(label).licences = value,
            name if name == defs::EDITION_AVAILABLE.name => self.edition(label).available = value,
            name if name == defs::SWITCH.name => {
                let on = value.map(|value| (label.to_owned(), value != 0));
                self.switches.extend(on);
            }
            name if name == defs::PROTECT_TYPE.name => self.protect_type = Some(label.to_owned()),
            _ => {}
        }
    }

    fn edition(&mut self, name: &str) -> &mut Edition {
        self.editions.entry(name.to_owned()).or_default()
    }

    /// The failure of the collector that decides whether the account is up.
    #[must_use]
    pub fn failure(&self) -> Option<&FailureReport> {
        let mut deciding = self.collectors.iter().filter(|collector| collector.decides);
        deciding.find_map(|collector| collector.failure.as_ref())
    }

    /// Whether licences are renewed automatically, if that is known.
    #[must_use]
    pub fn auto_renewal(&self) -> Option<bool> {
        self.switches.get(AUTO_RENEWAL).copied()
    }
}

impl CollectorReport {
    fn new(
        slot: &Slot,
        state: &CollectorState,
        now: TimePoint,
        samples: Option<&[Sample]>,
        budget: Budget,
    ) -> Self {
        let attempt = state.last_attempt.as_ref();
        let success = state.last_success.as_ref();
        let failure = attempt.and_then(|attempt| attempt.failure.as_ref());
        let (collecting_since, next_at) = match slot.task_state() {
            TaskState::Unscheduled => (None, None),
            TaskState::CollectsSince(since) => (now.wall.checked_sub(since.elapsed()).ok(), None),
            TaskState::WaitsUntil(at) => {
                let wait = at.saturating_duration_since(Instant::now());
                (None, now.wall.checked_add(wait).ok())
            }
        };
        Self {
            collector: slot.collector().name(),
            decides: slot.decides(),
            action: slot.collector().request().action,
            interval_seconds: slot.schedule().interval.as_secs_f64(),
            max_age_seconds: slot.schedule().max_age.as_secs_f64(),
            success: state.succeeded(),
            failure: failure.map(|error| FailureReport {
                reason: error.reason.as_str(),
                message: error.message.clone(),
                code: error.code.clone(),
                request_id: error.request_id.clone(),
                remedy: error.remedy().to_owned(),
                remedy_in_chinese: error.remedy_in_chinese().map(str::to_owned),
            }),
            last_attempt_at: attempt.map(|attempt| now.time_of(attempt.at)),
            last_success_at: success.map(|success| now.time_of(success.at)),
            age_seconds: success.map(|success| now.since(success.at).as_secs_f64()),
            withdrawn: success.is_some() && samples.is_none(),
            series: samples.map_or(0, <[Sample]>::len),
            rows_hidden: success.and_then(|success| success.rows_hidden),
            restored: state.restored,
            duration_seconds: attempt.map(|attempt| attempt.duration.as_secs_f64()),
            failures: state.failures,
            collecting_since,
            next_at,
            drift: state.drift.to_vec(),
            budget,
        }
    }
}
