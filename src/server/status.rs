//! How the exporter and its accounts are, for people and for programs: the model
//! behind the status page and its JSON.
//!
//! A report is made from the snapshots when somebody asks. One pass over all accounts
//! finds their health; only those of one page are told in full.

mod account;
mod health;
mod natural;
mod query;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

pub use self::account::{
    AccountReport, Budget, CollectorReport, Credential, DriftReport, Edition, FailureKind,
    FailureReport, Licences,
};
pub use self::health::{Counts, Health};
pub use self::query::{PER_PAGE, Query, Sort};

use crate::collection::scheduler::Liveness;
use crate::collection::snapshot::{AccountState, Store};
use crate::config::{ActiveConfig, ConfigVersion};
use crate::system::clock::{Clock, TimePoint};
use health::Urgency;
use natural::NaturalName;

/// Tells how the exporter and its accounts are.
#[derive(Debug)]
pub struct Status {
    store: Arc<Store>,
    running: Arc<ActiveConfig>,
    liveness: Liveness,
    clock: Clock,
    started_at: TimePoint,
}

/// How everything is at a moment, with one page of the accounts.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// That moment.
    pub time: Timestamp,
    /// The process.
    pub exporter: ExporterReport,
    /// The configuration at work.
    pub configuration: ConfigurationReport,
    /// How many of all accounts have which health.
    pub health: Counts,
    /// How many accounts the query selects.
    pub selected: usize,
    /// Which page of these this is, counted from 1.
    pub page: usize,
    /// How many pages they have, at least 1.
    pub pages: usize,
    /// How many accounts a page has.
    pub per_page: usize,
    /// The accounts of the page.
    pub accounts: Vec<AccountReport>,
    /// How many accounts of each failure are left out, if it is in brief.
    #[serde(skip)]
    pub left_out: HashMap<FailureKind, usize>,
}

/// An account that the query selects.
struct Selected<'a> {
    standing: Urgency,
    failure: Option<FailureKind>,
    account: &'a Arc<AccountState>,
}

/// The process.
#[derive(Debug, Serialize)]
pub struct ExporterReport {
    /// Its version.
    pub version: &'static str,
    /// The source that it was built from.
    pub revision: &'static str,
    /// When it was started.
    pub started_at: Timestamp,
    /// Whether every account's first collection has ended.
    pub ready: bool,
    /// Whether the scheduler is alive.
    pub healthy: bool,
    /// Which shard it is, if the accounts are divided.
    pub shard: Option<ShardReport>,
    /// How many replicas share the rate limit.
    pub replicas: u32,
}

/// One of several processes that divide the accounts.
#[derive(Debug, Serialize)]
pub struct ShardReport {
    /// Its number, counted from 0.
    pub index: u32,
    /// How many there are.
    pub total: u32,
}

/// The configuration at work.
#[derive(Debug, Serialize)]
pub struct ConfigurationReport {
    /// Since when it is at work.
    pub since: Timestamp,
    /// Why a newer one was refused, if that was the last that was tried.
    pub refused: Option<RefusedConfig>,
    /// From one poll of an account to the next.
    pub poll_interval_seconds: f64,
    /// How long one request may take.
    pub poll_timeout_seconds: f64,
    /// How long values are kept without a success.
    pub max_age_seconds: f64,
    /// This process's requests per second for each credential and action.
    pub rate_limit_per_second: f64,
    /// Requests under way at once.
    pub max_in_flight: usize,
}

/// A configuration that was not put to work.
#[derive(Debug, Serialize)]
pub struct RefusedConfig {
    /// When it was tried.
    pub at: Timestamp,
    /// Its problems.
    pub error: String,
}

impl Status {
    /// The status of a process that was started at `started_at`.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        running: Arc<ActiveConfig>,
        liveness: Liveness,
        clock: Clock,
        started_at: TimePoint,
    ) -> Self {
        Self {
            store,
            running,
            liveness,
            clock,
            started_at,
        }
    }

    /// How everything is now.
    #[must_use]
    pub fn report(&self, query: &Query) -> StatusReport {
        self.tell(query, false)
    }

    /// The same for people: unless `query` asks for some accounts only or for their names'
    /// order, accounts that fail alike are left out but for the first few.
    #[must_use]
    pub fn report_in_brief(&self, query: &Query) -> StatusReport {
        self.tell(query, query.is_overview())
    }

    fn tell(&self, query: &Query, in_brief: bool) -> StatusReport {
        let (now, accounts, work) = (self.clock.moment(), self.store.load(), self.running.load());
        let mut counts = Counts::default();
        let mut selected = Vec::new();
        for account in accounts.list() {
            let standing = Urgency::of(account, now);
            counts.count(standing.health);
            if query.selects(account, standing.health) {
                let is_failing = standing.health == Health::Failing;
                selected.push(Selected {
                    standing,
                    failure: is_failing.then(|| FailureKind::of(account)).flatten(),
                    account,
                });
            }
        }
        let left_out = if in_brief {
            leave_out(&mut selected)
        } else {
            HashMap::new()
        };
        let pages = selected.len().div_ceil(query.per_page).max(1);
        let page = query.page.clamp(1, pages);
        let shown = (page - 1) * query.per_page..page * query.per_page;
        let found = selected.len();
        let shown = match query.sort {
            Sort::Attention => part(selected, shown, |a, b| a.urgency().cmp(&b.urgency())),
            Sort::Name => part(selected, shown, |a, b| a.name().cmp(&b.name())),
        };
        StatusReport {
            time: now.wall,
            exporter: self.exporter(&work, now),
            configuration: configuration(&work, now),
            health: counts,
            selected: found,
            page,
            pages,
            per_page: query.per_page,
            accounts: shown
                .iter()
                .map(|each| self.account(each.account, each.standing, now, &work))
                .collect(),
            left_out,
        }
    }

    /// The configuration at work as YAML.
    ///
    /// # Errors
    ///
    /// See [`Config::to_yaml`](crate::config::Config::to_yaml).
    pub fn configuration(&self) -> Result<String, crate::config::Fault> {
        self.running.load().config.to_yaml()
    }

    fn account(
        &self,
        account: &AccountState,
        standing: Urgency,
        now: TimePoint,
        work: &ConfigVersion,
    ) -> AccountReport {
        let limit = work.config.rate_limit().share();
        AccountReport::new(account, standing.health, now, limit)
    }

    fn exporter(&self, work: &ConfigVersion, now: TimePoint) -> ExporterReport {
        let share = work.config.share;
        ExporterReport {
            version: env!("CARGO_PKG_VERSION"),
            revision: env!("CWP_EXPORTER_REVISION"),
            started_at: now.time_of(self.started_at),
            ready: self.store.is_ready(),
            healthy: self.liveness.is_alive(),
            shard: share.shard.map(|shard| ShardReport {
                index: shard.index(),
                total: shard.total().get(),
            }),
            replicas: share.replicas.get(),
        }
    }
}

impl Selected<'_> {
    /// What needs attention most is least; accounts that fail alike are together.
    fn urgency(&self) -> (Health, Option<&FailureKind>, Urgency, NaturalName<'_>) {
        let health = self.standing.health;
        (health, self.failure.as_ref(), self.standing, self.name())
    }

    fn name(&self) -> NaturalName<'_> {
        NaturalName(&self.account.name)
    }
}

/// Leaves no more than the first few of accounts that fail alike, so that they do not push
/// what else is wrong out of sight. Returns how many are gone.
fn leave_out(selected: &mut Vec<Selected<'_>>) -> HashMap<FailureKind, usize> {
    const SHOWN: usize = 3;
    let (mut failing, others): (Vec<_>, Vec<_>) =
        selected.drain(..).partition(|each| each.failure.is_some());
    failing.sort_unstable_by(|a, b| a.urgency().cmp(&b.urgency()));
    let mut left_out = HashMap::new();
    for alike in failing.chunk_by(|a, b| a.failure == b.failure) {
        if let [first, ..] = alike
            && let Some(failure) = &first.failure
            // One more line is as short as to say that there is one more.
            && alike.len() > SHOWN + 1
        {
            left_out.insert(failure.clone(), alike.len() - SHOWN);
        }
    }
    let mut seen: HashMap<FailureKind, usize> = HashMap::new();
    failing.retain(|each| {
        let Some(failure) = each.failure.as_ref() else {
            return true;
        };
        let seen = seen.entry(failure.clone()).or_default();
        *seen += 1;
        *seen <= SHOWN || !left_out.contains_key(failure)
    });
    failing.extend(others);
    *selected = failing;
    left_out
}

/// The part `range` of what `items` would be in this order. Sorts no more than that part:
/// of thousands of accounts a page has a hundred.
fn part<T>(mut items: Vec<T>, range: Range<usize>, order: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    if range.end < items.len() {
        items.select_nth_unstable_by(range.end, &order);
        items.truncate(range.end);
    }
    if (1..items.len()).contains(&range.start) {
        items.select_nth_unstable_by(range.start, &order);
        items.drain(..range.start);
    }
    items.sort_unstable_by(order);
    items
}

fn configuration(work: &ConfigVersion, now: TimePoint) -> ConfigurationReport {
    let config = &work.config;
    ConfigurationReport {
        since: now.time_of(work.since),
        refused: work.refused.as_ref().map(|(at, error)| RefusedConfig {
            at: now.time_of(*at),
            error: error.clone(),
        }),
        poll_interval_seconds: config.poll.interval.as_secs_f64(),
        poll_timeout_seconds: config.poll.timeout.as_secs_f64(),
        max_age_seconds: config.poll.max_age.as_secs_f64(),
        rate_limit_per_second: config.rate_limit().share(),
        max_in_flight: config.api.max_in_flight.get(),
    }
}

#[cfg(test)]
mod tests;
