//! How the exporter and its accounts are, for people and for programs: the model
//! behind the status page and its JSON.
//!
//! A report is made from the snapshots when somebody asks. One pass over all accounts
//! finds their health; only those of one page are told in full.

mod account;
mod health;
mod query;

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

pub use self::account::{
    AccountReport, Budget, CollectorReport, Credential, Edition, Failure, Field, Licences,
};
pub use self::health::{Counts, Health};
pub use self::query::{PER_PAGE, Query, Sort};

use crate::clock::{Clock, Moment};
use crate::config::{Running, Work};
use crate::scheduler::Heart;
use crate::snapshot::{AccountState, Accounts, Store};
use health::Standing;

/// Tells how the exporter and its accounts are.
#[derive(Debug)]
pub struct Status {
    store: Arc<Store>,
    running: Arc<Running>,
    heart: Heart,
    clock: Clock,
    started_at: Moment,
}

/// How everything is at a moment, with one page of the accounts.
#[derive(Debug, Serialize)]
pub struct Report {
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
    pub refused: Option<Refusal>,
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
pub struct Refusal {
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
        running: Arc<Running>,
        heart: Heart,
        clock: Clock,
        started_at: Moment,
    ) -> Self {
        Self {
            store,
            running,
            heart,
            clock,
            started_at,
        }
    }

    /// How everything is now.
    #[must_use]
    pub fn report(&self, query: &Query) -> Report {
        let (now, accounts, work) = (self.clock.moment(), self.store.load(), self.running.load());
        let mut counts = Counts::default();
        let mut selected: Vec<(Standing, &Arc<AccountState>)> = Vec::new();
        for account in accounts.list() {
            let standing = Standing::of(account, now, accounts.max_age());
            counts.count(standing.health);
            if query.selects(account, standing.health) {
                selected.push((standing, account));
            }
        }
        let pages = selected.len().div_ceil(query.per_page).max(1);
        let page = query.page.clamp(1, pages);
        let shown = (page - 1) * query.per_page..page * query.per_page;
        let found = selected.len();
        let shown = match query.sort {
            Sort::Attention => part(selected, shown, |(standing, account)| {
                (standing, account.name.as_str())
            }),
            Sort::Name => part(selected, shown, |(_, account)| account.name.as_str()),
        };
        Report {
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
                .map(|(standing, account)| self.account(account, *standing, now, &accounts, &work))
                .collect(),
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
        standing: Standing,
        now: Moment,
        accounts: &Accounts,
        work: &Work,
    ) -> AccountReport {
        let limit = work.config.rate_limit().share();
        AccountReport::new(account, standing.health, now, accounts.max_age(), limit)
    }

    fn exporter(&self, work: &Work, now: Moment) -> ExporterReport {
        let share = work.config.share;
        ExporterReport {
            version: env!("CARGO_PKG_VERSION"),
            revision: env!("CWP_EXPORTER_REVISION"),
            started_at: now.time_of(self.started_at),
            ready: self.store.is_ready(),
            healthy: self.heart.beats(),
            shard: share.shard.map(|shard| ShardReport {
                index: shard.index(),
                total: shard.total().get(),
            }),
            replicas: share.replicas.get(),
        }
    }
}

/// The part `range` of what `items` would be in the order of their keys. Sorts no more than
/// that part: of thousands of accounts a page has a hundred.
fn part<T: Copy, K: Ord>(mut items: Vec<T>, range: Range<usize>, key: impl Fn(T) -> K) -> Vec<T> {
    if range.end < items.len() {
        items.select_nth_unstable_by_key(range.end, |item| key(*item));
        items.truncate(range.end);
    }
    if (1..items.len()).contains(&range.start) {
        items.select_nth_unstable_by_key(range.start, |item| key(*item));
        items.drain(..range.start);
    }
    items.sort_unstable_by_key(|item| key(*item));
    items
}

fn configuration(work: &Work, now: Moment) -> ConfigurationReport {
    let config = &work.config;
    ConfigurationReport {
        since: now.time_of(work.since),
        refused: work.refused.as_ref().map(|(at, error)| Refusal {
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
