//! What is known of each account: the last answer, the last attempt, and their ages.
//!
//! A slot holds one collector's state for one account and is replaced whole at the
//! end of each collection, so a scrape never sees half of one.

mod account;
mod lines;
mod revision;
mod slot;
mod store;

use std::sync::Arc;
use std::time::Duration;

use crate::cloud::Error;
use crate::collectors::{Drift, Sample};
use crate::system::clock::TimePoint;
#[cfg(test)]
pub(crate) use account::TestKey;
pub use account::{AccountState, KeySource, is_up};
pub use lines::{BorrowedLines, Lines, defs};
pub use revision::Revision;
pub use slot::{Slot, TaskState};
pub use store::{Accounts, Store};

/// The knowledge of one collector about one account at a moment.
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
    /// How many requests it took, one for each page of a list.
    pub requests: u32,
}

impl CollectorState {
    /// Whether the last collection succeeded; nothing before the first has ended.
    #[must_use]
    pub fn succeeded(&self) -> Option<bool> {
        self.last_attempt
            .as_ref()
            .map(|attempt| attempt.failure.is_none())
    }

    /// How many requests a collection takes, as far as is known.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.last_success
            .as_ref()
            .map_or(1, |success| success.requests)
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
    use std::collections::BTreeMap;

    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::collectors::Schedule;
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
                requests: 1,
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

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn values_are_shown_until_either_clock_says_that_max_age_has_passed(
            max_age in 1_u64..1_000_000,
            steps in prop::collection::vec((0_i64..300_000, -200_000_i64..200_000), 1..6),
        ) {
            let at = TimePoint { wall: Timestamp::UNIX_EPOCH, uptime: SignedDuration::ZERO };
            let mut state = collected(at.wall);
            state.last_success.as_mut().unwrap().at = at;
            let max_age = Duration::from_millis(max_age);
            let (mut uptime, mut wall) = (0, 0);
            for (passed, set_by) in steps {
                (uptime, wall) = (uptime + passed, wall + passed + set_by);
                let after = |more: Duration| {
                    let more = SignedDuration::try_from(more).unwrap();
                    TimePoint {
                        wall: Timestamp::from_millisecond(wall).unwrap() + more,
                        uptime: SignedDuration::from_millis(uptime) + more,
                    }
                };
                let age = Duration::from_millis(uptime.max(wall).try_into().unwrap());
                let now = after(Duration::ZERO);
                prop_assert_eq!(state.samples(now, max_age).is_some(), age < max_age);
                if let Some(left) = state.fresh_for(now, max_age) {
                    prop_assert_eq!(left, max_age - age);
                    let before_the_end = after(left - Duration::from_nanos(1));
                    prop_assert!(state.samples(before_the_end, max_age).is_some());
                    prop_assert!(state.samples(after(left), max_age).is_none());
                }
            }
        }
    }

    #[test]
    fn a_collection_takes_a_request_until_it_is_known_to_take_more() {
        let mut state = CollectorState::default();
        assert_eq!(state.requests(), 1);
        state = collected(Timestamp::UNIX_EPOCH);
        state.last_success.as_mut().unwrap().requests = 5;
        assert_eq!(state.requests(), 5);
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
                key_source: Box::new(TestKey::default()),
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
