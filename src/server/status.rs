//! The state of the exporter and its accounts: the model of the status page and its JSON.
//!
//! Each request makes a report from the snapshots. One pass over all accounts finds their
//! health; only the accounts of one page are reported in full.

mod account;
mod health;
mod licences;
mod natural;
pub mod orders;
mod query;
mod servers;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

pub use self::account::{
    AccountReport, Budget, CollectorReport, CredentialReport, Edition, FailureKind, FailureReport,
};
pub use self::health::{Health, HealthCounts};
pub use self::licences::Licences;
pub use self::query::{PER_PAGE, Query, Sort};
pub use self::servers::{LogService, LogStorage, Servers};

use crate::collection::scheduler::Liveness;
use crate::collection::snapshot::{AccountState, Store};
use crate::config::{ActiveConfig, ConfigVersion, Shard};
use crate::system::clock::{Clock, TimePoint};
use health::{Judgement, Urgency};
use natural::natural_order;
use orders::NextDeadline;

/// Reports the state of the exporter and its accounts.
pub struct Status {
    /// The snapshots of the accounts.
    pub store: Arc<Store>,
    /// The active configuration.
    pub active: Arc<ActiveConfig>,
    /// The liveness of the scheduler.
    pub liveness: Liveness,
    /// The time of reports.
    pub clock: Clock,
    /// When the process started.
    pub started_at: TimePoint,
}

/// The state of everything at one instant, with one page of the accounts.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// That instant.
    pub time: Timestamp,
    /// The process.
    pub exporter: ExporterReport,
    /// The active configuration.
    pub configuration: ConfigurationReport,
    /// The number of accounts of each health.
    pub health: HealthCounts,
    /// The number of accounts that the query selects.
    pub selected: usize,
    /// The page of the selected accounts, counted from 1.
    pub page: usize,
    /// The number of pages, at least 1.
    pub pages: usize,
    /// The accounts per page.
    pub per_page: usize,
    /// The accounts of the page.
    pub accounts: Vec<AccountReport>,
    /// The number of accounts left out for each failure.
    #[serde(skip)]
    pub left_out: HashMap<FailureKind, usize>,
}

/// An account that the query selects.
struct Selected<'a> {
    urgency: Urgency,
    failure: Option<FailureKind>,
    next_deadline: Option<NextDeadline>,
    account: &'a Arc<AccountState>,
}

/// The process.
#[derive(Debug, Serialize)]
pub struct ExporterReport {
    /// The version.
    pub version: &'static str,
    /// The revision of the source.
    pub revision: &'static str,
    /// When the process started.
    pub started_at: Timestamp,
    /// Whether every account's first collection has ended.
    pub ready: bool,
    /// Whether the scheduler is alive.
    pub healthy: bool,
    /// The shard of this process, if the accounts are divided.
    pub shard: Option<Shard>,
    /// The number of replicas that share the rate limit.
    pub replicas: u32,
}

/// The active configuration.
#[derive(Debug, Serialize)]
pub struct ConfigurationReport {
    /// Since when the configuration is active.
    pub since: Timestamp,
    /// Why a newer configuration was refused, if the last reload was refused.
    pub refused: Option<RefusedConfig>,
    /// The interval of polls, in seconds.
    pub poll_interval_seconds: f64,
    /// The timeout of one request, in seconds.
    pub poll_timeout_seconds: f64,
    /// How long values are shown after a success, in seconds.
    pub max_age_seconds: f64,
    /// The requests per second of this process for each credential and action.
    pub rate_limit_per_second: f64,
    /// The most concurrent requests.
    pub max_in_flight: usize,
}

/// A configuration that was refused.
#[derive(Debug, Serialize)]
pub struct RefusedConfig {
    /// When the reload was tried.
    pub at: Timestamp,
    /// The problems of the configuration.
    pub error: String,
}

impl Status {
    /// The report of now.
    #[must_use]
    pub fn report(&self, query: &Query) -> StatusReport {
        self.make(query, false)
    }

    /// The same report for people: unless `query` filters accounts or sorts them otherwise,
    /// only the first few of accounts that fail alike are in it.
    #[must_use]
    pub fn report_in_brief(&self, query: &Query) -> StatusReport {
        self.make(query, query.is_overview())
    }

    fn make(&self, query: &Query, in_brief: bool) -> StatusReport {
        let (now, accounts) = (self.clock.moment(), self.store.load());
        let version = self.active.load();
        let mut counts = HealthCounts::default();
        let mut selected = Vec::new();
        for account in accounts.list() {
            let Judgement {
                urgency,
                next_deadline,
            } = Judgement::of(account, now);
            counts.increment(urgency.health);
            if query.selects(account, urgency.health) {
                let is_failing = urgency.health == Health::Failing;
                selected.push(Selected {
                    urgency,
                    failure: is_failing.then(|| FailureKind::of(account)).flatten(),
                    next_deadline,
                    account,
                });
            }
        }
        match query.sort {
            Sort::Attention => selected.sort_by(Selected::by_attention),
            Sort::Name => selected.sort_by(Selected::by_name),
            Sort::Deadline => selected.sort_by(Selected::by_deadline),
        }
        let left_out = if in_brief {
            leave_out(&mut selected)
        } else {
            HashMap::new()
        };
        let pages = selected.len().div_ceil(query.per_page).max(1);
        let page = query.page.clamp(1, pages);
        let shown = selected.iter().skip((page - 1) * query.per_page);
        let limit = version.config.rate_limit().share();
        StatusReport {
            time: now.wall,
            exporter: self.exporter(&version, now),
            configuration: configuration(&version, now),
            health: counts,
            selected: selected.len(),
            page,
            pages,
            per_page: query.per_page,
            accounts: shown
                .take(query.per_page)
                .map(|each| AccountReport::new(each, now, limit))
                .collect(),
            left_out,
        }
    }

    /// The active configuration as YAML.
    ///
    /// # Errors
    ///
    /// See [`Config::to_yaml`](crate::config::Config::to_yaml).
    pub fn configuration(&self) -> Result<String, crate::config::Fault> {
        self.active.load().config.to_yaml()
    }

    fn exporter(&self, version: &ConfigVersion, now: TimePoint) -> ExporterReport {
        let partition = version.config.partition;
        ExporterReport {
            version: env!("CARGO_PKG_VERSION"),
            revision: env!("CWP_EXPORTER_REVISION"),
            started_at: now.time_of(self.started_at),
            ready: self.store.is_ready(),
            healthy: self.liveness.is_alive(),
            shard: partition.shard,
            replicas: partition.replicas.get(),
        }
    }
}

impl Selected<'_> {
    /// The most urgent account is least, and equal failures are adjacent.
    fn by_attention(&self, other: &Self) -> Ordering {
        let health = self.urgency.health.cmp(&other.urgency.health);
        health
            .then_with(|| self.failure.cmp(&other.failure))
            .then_with(|| self.urgency.cmp(&other.urgency))
            .then_with(|| self.by_name(other))
    }

    /// Accounts without a deadline come last.
    fn by_deadline(&self, other: &Self) -> Ordering {
        let place = |each: &Self| {
            let at = each.next_deadline.map(|next| next.at);
            (at.is_none(), at)
        };
        let deadline = place(self).cmp(&place(other));
        deadline.then_with(|| self.by_name(other))
    }

    fn by_name(&self, other: &Self) -> Ordering {
        natural_order(&self.account.name, &other.account.name)
    }
}

/// Leaves out accounts that fail alike except for the first few, so that they do not hide
/// other problems. Returns the number of accounts left out.
fn leave_out(selected: &mut Vec<Selected<'_>>) -> HashMap<FailureKind, usize> {
    const SHOWN: usize = 3;
    let mut alike: HashMap<FailureKind, usize> = HashMap::new();
    for failure in selected.iter().filter_map(|each| each.failure.clone()) {
        *alike.entry(failure).or_default() += 1;
    }
    // The line "Show all" takes as much space as one more account.
    alike.retain(|_, count| *count > SHOWN + 1);
    let mut left = HashMap::new();
    selected.retain(|each| {
        let failure = each.failure.as_ref();
        let Some(failure) = failure.filter(|failure| alike.contains_key(failure)) else {
            return true;
        };
        let left: &mut usize = left.entry(failure.clone()).or_default();
        *left += 1;
        *left <= SHOWN
    });
    alike.values_mut().for_each(|count| *count -= SHOWN);
    alike
}

fn configuration(version: &ConfigVersion, now: TimePoint) -> ConfigurationReport {
    let config = &version.config;
    ConfigurationReport {
        since: now.time_of(version.since),
        refused: version.refused.as_ref().map(|(at, error)| RefusedConfig {
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
