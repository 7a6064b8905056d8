//! What is known of each account: the last answer, the last attempt, and their ages.
//!
//! A slot holds one collector's state for one account and is replaced whole at the
//! end of each collection, so a scrape never sees half of one.

mod lines;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::cloud::Error;
use crate::collectors::{Collector, Drift, Sample, Schedule};
use crate::system::clock::TimePoint;
pub use lines::{Lines, defs};

/// The accounts of this process. The set is replaced whole, too.
#[derive(Debug)]
pub struct Store {
    accounts: ArcSwap<Accounts>,
    revision: Revision,
    /// Once every account has been collected, a new account does not take readiness back.
    ready: AtomicBool,
}

/// A number that advances with each change of a store and of its slots, so that a cache knows
/// when it is out of date. A cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Revision(Arc<AtomicU64>);

impl Revision {
    /// Tells that something has changed.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// The revision now. A later read of the store sees all changes up to this revision.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The states of all accounts at a moment. All have the same collectors in the same order.
#[derive(Debug, Default)]
pub struct Accounts {
    list: Vec<Arc<AccountState>>,
}

/// The states of one account.
#[derive(Debug)]
pub struct AccountState {
    /// The configured name.
    pub name: String,
    /// Tells this account from another account of the same name, see
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
    pub slots: Vec<Slot>,
}

/// What is known of an account's key at any moment: where the key comes from, when the key
/// expires, and how much of the budget requests with the key use. Never tells the key.
pub struct KeySource {
    text: Box<dyn Fn() -> String + Send + Sync>,
    expires_at: Box<dyn Fn() -> Option<Timestamp> + Send + Sync>,
    spent: Box<dyn Fn(&'static str) -> u32 + Send + Sync>,
}

impl KeySource {
    /// A source that is described by what `text` returns.
    pub fn new(text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self {
            text: Box::new(text),
            expires_at: Box::new(|| None),
            spent: Box::new(|_| 0),
        }
    }

    /// The same with `expires_at`, which returns when the key expires, if it does.
    #[must_use]
    pub fn with_expiry(
        self,
        expires_at: impl Fn() -> Option<Timestamp> + Send + Sync + 'static,
    ) -> Self {
        Self {
            expires_at: Box::new(expires_at),
            ..self
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

    /// When the key in use expires; nothing if it does not, or there is none yet.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        (self.expires_at)()
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

/// Where one collector's state for one account is. A cheap handle.
#[derive(Clone)]
pub struct Slot {
    collector: &'static dyn Collector,
    schedule: Schedule,
    content: Arc<SlotContent>,
}

/// What all handles of a slot share.
struct SlotContent {
    account: String,
    state: ArcSwap<CollectorState>,
    revision: Revision,
    task: Mutex<TaskState>,
}

/// What the task that fills a slot is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TaskState {
    /// There is no task yet.
    #[default]
    Unscheduled,
    /// The task waits for its next collection.
    WaitsUntil(Instant),
    /// The task collects.
    CollectsSince(Instant),
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
    /// Whether the last success was restored from the state folder.
    pub restored: bool,
    /// The lines that a scrape shows. [`Slot::store`] writes the lines.
    pub lines: Lines,
}

/// A collection that ended.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it ended.
    pub at: TimePoint,
    /// How long it took, retries and waits included.
    pub duration: Duration,
    /// Why it failed, if it did.
    pub failure: Option<Box<Error>>,
}

/// A collection that succeeded.
#[derive(Debug, Clone)]
pub struct Success {
    /// When it ended.
    pub at: TimePoint,
    /// What it found.
    pub samples: Arc<[Sample]>,
    /// How many rows of a list are not among the samples; `None` without a list.
    pub rows_hidden: Option<usize>,
}

impl Store {
    /// A store of these accounts.
    #[must_use]
    pub fn new(accounts: Vec<Arc<AccountState>>) -> Self {
        let store = Self {
            accounts: ArcSwap::default(),
            revision: Revision::default(),
            ready: AtomicBool::new(false),
        };
        store.replace(accounts);
        store
    }

    /// The accounts as of now.
    #[must_use]
    pub fn load(&self) -> Arc<Accounts> {
        self.accounts.load_full()
    }

    /// Replaces the set of accounts.
    pub fn replace(&self, list: Vec<Arc<AccountState>>) {
        self.accounts.store(Arc::new(Accounts::new(list)));
        self.revision.advance();
    }

    /// The revision of this store, which its slots share.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Whether every account's first collection by the collector that decides whether it is
    /// up has ended, well or badly.
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
    /// These accounts.
    #[must_use]
    pub fn new(list: Vec<Arc<AccountState>>) -> Self {
        Self { list }
    }

    /// The accounts, in the order of the configuration.
    #[must_use]
    pub fn list(&self) -> &[Arc<AccountState>] {
        &self.list
    }

    fn are_collected(&self) -> bool {
        let slots = self.list.iter().flat_map(|account| &account.slots);
        let mut deciding = slots.filter(|slot| slot.decides());
        deciding.all(|slot| slot.load().last_attempt.is_some())
    }
}

impl AccountState {
    /// Whether the account is up at `now`: the value of `tencentcloud_cwp_up`.
    #[must_use]
    pub fn is_up(&self, now: TimePoint) -> bool {
        let states: Vec<_> = self.slots.iter().map(|slot| (slot, slot.load())).collect();
        is_up(states.iter().map(|(slot, state)| (*slot, &**state)), now)
    }
}

/// Whether an account with these `states` is up at `now`: the last collection by the
/// collector that decides succeeded, and its values are fresh.
pub fn is_up<'a>(
    states: impl IntoIterator<Item = (&'a Slot, &'a CollectorState)>,
    now: TimePoint,
) -> bool {
    let states = states.into_iter();
    let mut deciding = states.filter(|(slot, _)| slot.decides());
    deciding
        .all(|(slot, state)| state.succeeded() == Some(true) && slot.samples(state, now).is_some())
}

impl Slot {
    /// A slot of `account` in which nothing has been collected, of the store with this
    /// `revision`.
    #[must_use]
    pub fn new(
        collector: &'static dyn Collector,
        account: &str,
        schedule: Schedule,
        revision: &Revision,
    ) -> Self {
        let slot = Self {
            collector,
            schedule,
            content: Arc::new(SlotContent {
                account: account.to_owned(),
                state: ArcSwap::default(),
                task: Mutex::default(),
                revision: revision.clone(),
            }),
        };
        slot.store(CollectorState::default());
        slot
    }

    /// The same slot with another `schedule`.
    #[must_use]
    pub fn with_schedule(&self, schedule: Schedule) -> Self {
        Self {
            schedule,
            ..self.clone()
        }
    }

    /// The collector whose state this is.
    #[must_use]
    pub fn collector(&self) -> &'static dyn Collector {
        self.collector
    }

    /// Whether this collector decides whether the account is up.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.collector.defaults().is_none()
    }

    /// When the account is collected, and how long values are shown.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The values of `state`, which was in this slot, to expose at `now`: those of the last
    /// success, unless they are too old.
    #[must_use]
    pub fn samples<'s>(&self, state: &'s CollectorState, now: TimePoint) -> Option<&'s [Sample]> {
        state.samples(now, self.schedule.max_age)
    }

    /// The state as of now.
    #[must_use]
    pub fn load(&self) -> Arc<CollectorState> {
        self.content.state.load_full()
    }

    /// Replaces the state. Only the slot's collection task does this.
    pub fn store(&self, mut state: CollectorState) {
        state.lines = Lines::new(self.collector, &self.content.account, &state);
        self.content.state.store(Arc::new(state));
        self.content.revision.advance();
    }

    /// What the slot's task is doing.
    #[must_use]
    pub fn task_state(&self) -> TaskState {
        *self.lock_task()
    }

    /// Tells what the slot's task is doing from now on.
    pub fn set_task_state(&self, state: TaskState) {
        *self.lock_task() = state;
    }

    fn lock_task(&self) -> MutexGuard<'_, TaskState> {
        let task = self.content.task.lock();
        task.unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot")
            .field("collector", &self.collector.name())
            .field("state", &self.load())
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
    pub fn samples(&self, now: TimePoint, max_age: Duration) -> Option<&[Sample]> {
        self.fresh_for(now, max_age)?;
        self.last_success.as_ref().map(|success| &*success.samples)
    }

    /// How much longer than `now` there are values to expose; nothing if there are
    /// none any more, or none yet.
    #[must_use]
    pub fn fresh_for(&self, now: TimePoint, max_age: Duration) -> Option<Duration> {
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
    fn moment(wall: Timestamp) -> TimePoint {
        Clock::new(move || wall).moment()
    }

    fn collected(at: Timestamp) -> CollectorState {
        CollectorState {
            last_success: Some(Success {
                at: moment(at),
                samples: [Sample::new(defs::LICENSES, [], 7.0)].into(),
                rows_hidden: None,
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
                slots: vec![Slot::new(
                    &LicenseGeneral,
                    name,
                    Schedule::default(),
                    &Revision::default(),
                )],
            })
        };
        let store = Store::new(vec![account("a"), account("b")]);
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
        store.replace(vec![account("c")]);
        assert!(store.is_ready(), "a reload does not take readiness back");
    }
}
