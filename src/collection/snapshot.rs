//! What is known of each account: the last answer, the last attempt, and their ages.
//!
//! A slot holds one collector's state for one account and is replaced whole at the
//! end of each collection, so a scrape never sees half of one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::cloud::Error;
use crate::collectors::{Collector, Drift, Samples};
use crate::system::clock::Moment;

/// The accounts of this process. The set is replaced whole, too.
#[derive(Debug)]
pub struct Store {
    accounts: ArcSwap<Accounts>,
    revision: Revision,
    /// Once everything has been collected, new accounts do not take it back.
    ready: AtomicBool,
}

/// Advances with each change of a store and of its slots, so that what was made of them
/// can be kept until the next. A cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Revision(Arc<AtomicU64>);

impl Revision {
    /// Notes a change that has been made.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// The revision now. Whoever looks afterwards sees all that has changed up to it.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The states of all accounts at a moment.
#[derive(Debug, Default)]
pub struct Accounts {
    list: Vec<Arc<AccountState>>,
    max_age: Duration,
}

/// The states of one account.
#[derive(Debug)]
pub struct AccountState {
    /// The configured name.
    pub name: String,
    /// Tells it from another account of this name, see
    /// [`Account::identity`](crate::config::Account::identity).
    pub identity: String,
    /// Where its API is.
    pub endpoint: String,
    /// The configured region.
    pub region: Option<String>,
    /// The configured labels.
    pub labels: BTreeMap<String, String>,
    /// Where the key comes from.
    pub key_source: KeySource,
    /// One slot for each collector.
    pub slots: Vec<Arc<Slot>>,
}

/// Tells what can be known of a key at any moment: where it comes from, and what its
/// requests use of the budget. Never tells the key.
pub struct KeySource {
    text: Box<dyn Fn() -> String + Send + Sync>,
    spent: Box<dyn Fn(&'static str) -> u32 + Send + Sync>,
}

impl KeySource {
    /// A source that is described by what `text` returns.
    pub fn new(text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self {
            text: Box::new(text),
            spent: Box::new(|_| 0),
        }
    }

    /// The same with `spent`, which returns how many requests for an action the key has
    /// sent in the last minute.
    #[must_use]
    pub fn with_spent(self, spent: impl Fn(&'static str) -> u32 + Send + Sync + 'static) -> Self {
        Self {
            spent: Box::new(spent),
            ..self
        }
    }

    /// The source in words.
    #[must_use]
    pub fn text(&self) -> String {
        (self.text)()
    }

    /// How many requests for `action` the key has sent in the last minute, for whichever
    /// account.
    #[must_use]
    pub fn spent(&self, action: &'static str) -> u32 {
        (self.spent)(action)
    }
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

/// One collector's state for one account.
pub struct Slot {
    collector: &'static dyn Collector,
    state: ArcSwap<CollectorState>,
    revision: Revision,
    plan: Mutex<Plan>,
}

/// What a slot's collection task does next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: it has no task yet.
    #[default]
    None,
    /// It collects at that moment.
    At(Instant),
    /// It has been collecting since that moment.
    Since(Instant),
}

/// What one collector knows of one account at a moment.
#[derive(Debug, Clone, Default)]
pub struct CollectorState {
    /// The last collection that ended.
    pub last_attempt: Option<Attempt>,
    /// The last collection that succeeded.
    pub last_success: Option<Success>,
    /// How the last readable answer differed from its documentation.
    pub drift: Arc<[Drift]>,
    /// Collections that failed so far.
    pub failures: u64,
    /// Whether the last success is another process's, read from disk.
    pub restored: bool,
    /// When the key that the last collection used, or could have, expires.
    pub credential_expires_at: Option<Timestamp>,
}

/// A collection that ended.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it ended.
    pub at: Moment,
    /// How long it took, retries and waits included.
    pub duration: Duration,
    /// Why it failed, if it did.
    pub failure: Option<Box<Error>>,
}

/// A collection that succeeded.
#[derive(Debug, Clone)]
pub struct Success {
    /// When it ended.
    pub at: Moment,
    /// What it found.
    pub samples: Samples,
}

impl Store {
    /// A store of accounts whose values are exposed for `max_age` after a success.
    #[must_use]
    pub fn new(accounts: Vec<Arc<AccountState>>, max_age: Duration) -> Self {
        let store = Self {
            accounts: ArcSwap::default(),
            revision: Revision::default(),
            ready: AtomicBool::new(false),
        };
        store.replace(accounts, max_age);
        store
    }

    /// The accounts as of now.
    #[must_use]
    pub fn load(&self) -> Arc<Accounts> {
        self.accounts.load_full()
    }

    /// Replaces the set of accounts.
    pub fn replace(&self, list: Vec<Arc<AccountState>>, max_age: Duration) {
        self.accounts.store(Arc::new(Accounts::new(list, max_age)));
        self.revision.advance();
    }

    /// The revision of this store, which its slots share.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Whether every account's first collection has ended, well or badly.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) || {
            let ready = self.load().are_collected();
            self.ready.store(ready, Ordering::Relaxed);
            ready
        }
    }
}

impl Accounts {
    /// These accounts, whose values are exposed for `max_age` after a success.
    #[must_use]
    pub fn new(list: Vec<Arc<AccountState>>, max_age: Duration) -> Self {
        Self { list, max_age }
    }

    /// The accounts, in the order of the configuration.
    #[must_use]
    pub fn list(&self) -> &[Arc<AccountState>] {
        &self.list
    }

    /// How long values are exposed after the success that found them.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        self.max_age
    }

    fn are_collected(&self) -> bool {
        let mut slots = self.list.iter().flat_map(|account| &account.slots);
        slots.all(|slot| slot.load().last_attempt.is_some())
    }
}

impl Slot {
    /// A slot in which nothing has been collected, of the store with this `revision`.
    #[must_use]
    pub fn new(collector: &'static dyn Collector, revision: &Revision) -> Self {
        Self {
            collector,
            state: ArcSwap::default(),
            plan: Mutex::default(),
            revision: revision.clone(),
        }
    }

    /// The collector whose state this is.
    #[must_use]
    pub fn collector(&self) -> &'static dyn Collector {
        self.collector
    }

    /// The state as of now.
    #[must_use]
    pub fn load(&self) -> Arc<CollectorState> {
        self.state.load_full()
    }

    /// Replaces the state. Only the slot's collection task does this.
    pub fn store(&self, state: CollectorState) {
        self.state.store(Arc::new(state));
        self.revision.advance();
    }

    /// What the slot's collection task does next.
    #[must_use]
    pub fn plan(&self) -> Plan {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what the slot's collection task does next.
    pub fn note(&self, plan: Plan) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot")
            .field("collector", &self.collector.name())
            .field("state", &self.state.load())
            .finish()
    }
}

impl CollectorState {
    /// Whether the last collection succeeded; nothing before the first has ended.
    #[must_use]
    pub fn succeeded(&self) -> Option<bool> {
        self.last_attempt
            .as_ref()
            .map(|attempt| attempt.failure.is_none())
    }

    /// The values to expose at `now`: those of the last success, unless they are
    /// older than `max_age`.
    #[must_use]
    pub fn samples(&self, now: Moment, max_age: Duration) -> Option<&Samples> {
        self.fresh_for(now, max_age)?;
        self.last_success.as_ref().map(|success| &success.samples)
    }

    /// How much longer than `now` there are values to expose; nothing if there are
    /// none any more, or none yet.
    #[must_use]
    pub fn fresh_for(&self, now: Moment, max_age: Duration) -> Option<Duration> {
        let age = now.since(self.last_success.as_ref()?.at);
        max_age.checked_sub(age).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::collectors::license_general::{LicenseGeneral, defs};
    use crate::metrics::reason::Reason;
    use crate::system::clock::Clock;

    const MAX_AGE: Duration = Duration::from_secs(600);

    /// This moment, with that time of day.
    fn moment(wall: Timestamp) -> Moment {
        Clock::new(move || wall).moment()
    }

    fn collected(at: Timestamp) -> CollectorState {
        let samples = [(defs::LICENSES.name, "", 7.0)];
        CollectorState {
            last_success: Some(Success {
                at: moment(at),
                samples: Samples::from_named(LicenseGeneral.series(), samples).unwrap(),
            }),
            ..CollectorState::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn values_are_withdrawn_once_they_reach_max_age() {
        let noon: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let state = collected(noon);
        assert!(state.samples(moment(noon), MAX_AGE).is_some());
        tokio::time::advance(Duration::from_millis(599_999)).await;
        assert!(state.samples(moment(noon), MAX_AGE).is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(state.samples(moment(noon), MAX_AGE).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn values_age_while_the_machine_sleeps_and_despite_a_clock_set_back() {
        let noon: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let state = collected(noon);
        let after_sleep = noon + SignedDuration::from_secs(600);
        assert!(state.samples(moment(after_sleep), MAX_AGE).is_none());

        let set_back = noon - SignedDuration::from_hours(1);
        assert!(state.samples(moment(set_back), MAX_AGE).is_some());
        tokio::time::advance(MAX_AGE).await;
        assert!(state.samples(moment(set_back), MAX_AGE).is_none());
    }

    #[test]
    fn the_store_is_ready_once_every_first_collection_has_ended() {
        let account = |name: &str| {
            Arc::new(AccountState {
                name: name.to_owned(),
                identity: String::new(),
                endpoint: String::new(),
                region: None,
                labels: BTreeMap::new(),
                key_source: KeySource::new(String::new),
                slots: vec![Arc::new(Slot::new(&LicenseGeneral, &Revision::default()))],
            })
        };
        let store = Store::new(vec![account("a"), account("b")], MAX_AGE);
        let end_badly = |account: usize| {
            store.load().list()[account].slots[0].store(CollectorState {
                last_attempt: Some(Attempt {
                    at: moment(Timestamp::UNIX_EPOCH),
                    duration: Duration::ZERO,
                    failure: Some(Box::new(Error::new(Reason::Timeout, ""))),
                }),
                ..CollectorState::default()
            });
        };
        assert!(!store.is_ready());
        end_badly(0);
        assert!(!store.is_ready());
        end_badly(1);
        assert!(store.is_ready());
        store.replace(vec![account("c")], MAX_AGE);
        assert!(store.is_ready(), "a reload does not take readiness back");
    }
}
