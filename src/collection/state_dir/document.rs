//! What is in the file: the values of each account's last successes and when they were.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::collection::snapshot::{AccountState, CollectorState, Slot, Store, Success};
use crate::collectors::{Collector, Labels, Sample, repeated};
use crate::system::clock::TimePoint;

/// The version of the file's form. A file of another version is put aside. Version 1 had
/// identities that depended on the compiler, version 2 no more than one further label.
const VERSION: u32 = 3;

/// How far ahead of our clock a snapshot may claim to be.
const MAX_AHEAD: SignedDuration = SignedDuration::from_secs(300);

/// The saved snapshots.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    cwp_exporter_snapshots: u32,
    /// The series of all accounts, once: metric, and values of its labels behind `account`.
    series: Vec<(String, Vec<String>)>,
    accounts: Vec<SavedAccount>,
}

/// What all versions have.
#[derive(Deserialize)]
struct VersionHead {
    cwp_exporter_snapshots: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedAccount {
    name: String,
    /// See [`Account::identity`](crate::config::Account::identity).
    identity: String,
    collectors: Vec<SavedCollector>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedCollector {
    collector: String,
    collected_at: Timestamp,
    /// How many rows of a list are not among the samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_hidden: Option<usize>,
    /// The position of each series in the document's list, and its value.
    samples: Vec<(usize, f64)>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is not what this exporter writes.
    #[error("it is damaged, or no file of saved values: {0}")]
    Damaged(#[from] serde_json::Error),
    /// It was written by an older or a newer exporter.
    #[error("it has the form {0} of another version of the exporter; this one reads {VERSION}")]
    Version(u32),
}

/// The last good snapshots of all accounts of `store`, seen at `now`, as the file has them.
///
/// # Errors
///
/// None in practice: all of it can be written as JSON.
pub fn encode(store: &Store, now: TimePoint) -> serde_json::Result<Vec<u8>> {
    let accounts = store.load();
    let mut series = SeriesList::default();
    let accounts = accounts.list().iter();
    let accounts = accounts.map(|account| save(account, &mut series, now));
    serde_json::to_vec(&Document {
        cwp_exporter_snapshots: VERSION,
        accounts: accounts.collect(),
        series: series.list,
    })
}

/// Gives each series its position.
#[derive(Default)]
struct SeriesList {
    list: Vec<(String, Vec<String>)>,
    /// The position of each series, by its metric's name and the values of its labels.
    known: HashMap<&'static str, HashMap<Labels, usize>>,
}

impl SeriesList {
    fn position(&mut self, sample: &Sample) -> usize {
        let known = self.known.entry(sample.metric.name).or_default();
        if let Some(position) = known.get(&sample.labels) {
            return *position;
        }
        let position = self.list.len();
        let labels = sample.labels.iter().map(ToString::to_string);
        let series = (sample.metric.name.to_owned(), labels.collect());
        self.list.push(series);
        known.insert(sample.labels.clone(), position);
        position
    }
}

fn save(account: &AccountState, series: &mut SeriesList, now: TimePoint) -> SavedAccount {
    let collectors = account.slots.iter().filter_map(|slot| {
        let state = slot.load();
        let success = state.last_success.as_ref()?;
        let samples = success.samples.iter();
        let samples = samples.map(|sample| (series.position(sample), sample.value));
        Some(SavedCollector {
            collector: slot.collector().name().to_owned(),
            samples: samples.collect(),
            collected_at: now.time_of(success.at),
            rows_hidden: success.rows_hidden,
        })
    });
    SavedAccount {
        name: account.name.clone(),
        identity: account.identity.clone(),
        collectors: collectors.collect(),
    }
}

impl Document {
    /// The snapshots in the content of a file.
    ///
    /// # Errors
    ///
    /// When the content is damaged, or of another version.
    pub fn parse(content: &[u8]) -> Result<Self, Unusable> {
        let head: VersionHead = serde_json::from_slice(content)?;
        if head.cwp_exporter_snapshots != VERSION {
            return Err(Unusable::Version(head.cwp_exporter_snapshots));
        }
        Ok(serde_json::from_slice(content)?)
    }

    /// Puts the snapshots into those slots of `store` that have none, and returns how many.
    #[must_use]
    pub fn restore(&self, store: &Store, now: TimePoint) -> usize {
        let accounts = store.load();
        let accounts = accounts.list().iter();
        let by_name: HashMap<&str, &Arc<AccountState>> =
            accounts.map(|each| (each.name.as_str(), each)).collect();
        let mut restored = 0;
        for saved in &self.accounts {
            let account = by_name.get(saved.name.as_str());
            let Some(account) = account.filter(|account| account.identity == saved.identity) else {
                continue;
            };
            for collector in &saved.collectors {
                let mut slots = account.slots.iter();
                let slot = slots.find(|slot| slot.collector().name() == collector.collector);
                if slot.is_some_and(|slot| self.restore_slot(slot, collector, now)) {
                    restored += 1;
                }
            }
        }
        restored
    }

    /// Puts a saved snapshot into a slot that has none; says whether it did.
    fn restore_slot(&self, slot: &Slot, saved: &SavedCollector, now: TimePoint) -> bool {
        let age = now.wall.duration_since(saved.collected_at);
        if slot.load().last_success.is_some() || age < -MAX_AHEAD {
            return false;
        }
        // If a sample is unknown to this version, or comes twice, the other samples are
        // doubtful too: Prometheus would refuse it.
        let samples = saved.samples.iter().map(|(position, value)| {
            let (metric, labels) = self.series.get(*position)?;
            restored(slot.collector(), metric, labels, *value)
        });
        let Some(samples) = samples.collect::<Option<Arc<[Sample]>>>() else {
            return false;
        };
        if repeated(&*samples).is_some() {
            return false;
        }
        slot.store(CollectorState {
            last_success: Some(Success {
                at: now.earlier_by(age),
                samples,
                rows_hidden: saved.rows_hidden,
                requests: 1,
            }),
            restored: true,
            ..CollectorState::default()
        });
        true
    }
}

/// A saved sample, if `collector` yields such samples.
fn restored(
    collector: &dyn Collector,
    metric: &str,
    labels: &[String],
    value: f64,
) -> Option<Sample> {
    let mut metrics = collector.metrics().iter();
    let metric = metrics.find(|known| known.name == metric)?;
    let labels: Labels = labels.iter().cloned().map(Cow::Owned).collect();
    let is_valid = metric.labels.len() == 1 + labels.len() && value.is_finite() && value >= 0.0;
    is_valid.then_some(Sample {
        metric,
        labels,
        value,
    })
}

#[cfg(test)]
pub(super) mod fixture {
    //! A store with something to save.

    use std::time::Duration;

    use super::*;
    use crate::collection::snapshot::{Revision, TestKey};
    use crate::collectors::Schedule;
    use crate::collectors::license_general::{LicenseGeneral, defs};

    pub(super) const MAX_AGE: Duration = Duration::from_secs(600);

    /// A store of one account, of which `value` was collected at that moment.
    pub(in super::super) fn store_of(value: f64, at: TimePoint) -> Store {
        store("a", "x", Some((value, at)))
    }

    /// A store of one account, collected if there is a value and a moment.
    pub(in super::super) fn store(
        name: &str,
        identity: &str,
        collected: Option<(f64, TimePoint)>,
    ) -> Store {
        let slot = Slot::new(
            &LicenseGeneral,
            name,
            Schedule::default(),
            &Revision::default(),
        );
        if let Some((value, at)) = collected {
            slot.store(CollectorState {
                last_success: Some(Success {
                    at,
                    samples: [
                        Sample::new(defs::EDITION, ["ultimate".into()], value),
                        Sample::new(defs::LICENSES, [], value),
                    ]
                    .into(),
                    rows_hidden: Some(3),
                    requests: 1,
                }),
                ..CollectorState::default()
            });
        }
        let account = AccountState {
            name: name.to_owned(),
            identity: identity.to_owned(),
            endpoint: String::new(),
            region: None,
            labels: std::collections::BTreeMap::new(),
            key_source: Box::new(TestKey::default()),
            slots: vec![slot],
        };
        Store::new(vec![Arc::new(account)])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::fixture::MAX_AGE;
    use super::*;
    use crate::cloud::scripted::running_clock;
    use crate::collectors::license_general::defs;
    use crate::system::clock::Clock;

    fn noon() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    /// This moment, with that time of day.
    fn moment(wall: Timestamp) -> TimePoint {
        Clock::new(move || wall).moment()
    }

    /// A store of one account, collected at noon if `value` says what was found.
    fn store(name: &str, identity: &str, value: Option<f64>) -> Store {
        fixture::store(name, identity, value.map(|value| (value, moment(noon()))))
    }

    fn state(store: &Store) -> Arc<CollectorState> {
        store.load().list()[0].slots[0].load()
    }

    fn saved(store: &Store) -> String {
        String::from_utf8(encode(store, moment(noon())).unwrap()).unwrap()
    }

    fn restore(content: &str, store: &Store, now: Timestamp) -> usize {
        let document = Document::parse(content.as_bytes()).unwrap();
        document.restore(store, moment(now))
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_comes_back_with_its_values_and_its_age() {
        let content = saved(&store("a", "x", Some(7.0)));
        tokio::time::advance(Duration::from_secs(3600)).await;

        let later = noon() + SignedDuration::from_secs(300);
        let fresh = store("a", "x", None);
        assert_eq!(restore(&content, &fresh, later), 1);
        let state = state(&fresh);
        assert!(state.restored);
        let collected = state.last_success.as_ref().unwrap().at;
        assert_eq!(moment(later).time_of(collected), noon());
        let samples: Vec<_> = state
            .samples(moment(later), MAX_AGE)
            .unwrap()
            .iter()
            .collect();
        assert_eq!(samples.len(), 2);
        assert!(samples.iter().all(|sample| sample.value.eq(&7.0)));
        assert_eq!(samples[0].label(), "ultimate");
        assert_eq!(state.last_success.as_ref().unwrap().rows_hidden, Some(3));
        tokio::time::advance(Duration::from_secs(300)).await;
        assert!(
            state.samples(moment(later), MAX_AGE).is_none(),
            "ten minutes old"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_number_comes_back_to_the_last_bit(value in prop::num::f64::POSITIVE | prop::num::f64::NORMAL) {
            let fresh = store("a", "x", None);
            restore(&saved(&store("a", "x", Some(value))), &fresh, noon());
            let success = state(&fresh).last_success.clone().unwrap();
            let values: Vec<u64> = success.samples.iter().map(|sample| sample.value.to_bits()).collect();
            prop_assert_eq!(values, [value.to_bits(); 2]);
        }
    }

    #[tokio::test]
    async fn a_series_of_many_accounts_is_saved_once() {
        let both = ["a", "b"].map(|name| store(name, "x", Some(7.0)).load().list()[0].clone());
        let content = saved(&Store::new(both.into()));
        for series in [defs::LICENSES, defs::EDITION] {
            assert_eq!(content.matches(series.name).count(), 1, "{content}");
        }
        assert_eq!(content.matches("[0,7.0],[1,7.0]").count(), 2, "{content}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_saved_is_the_same_until_something_is_collected() {
        let clock = running_clock();
        let store = store("a", "x", Some(7.0));
        let first = encode(&store, clock.moment()).unwrap();
        assert_eq!(first, encode(&store, clock.moment()).unwrap());
        let mut later = CollectorState::clone(&state(&store));
        tokio::time::advance(Duration::from_secs(60)).await;
        later.last_success.as_mut().unwrap().at = clock.moment();
        store.load().list()[0].slots[0].store(later);
        assert_ne!(first, encode(&store, clock.moment()).unwrap());
    }

    #[tokio::test]
    async fn what_is_not_this_accounts_or_from_the_future_stays_out() {
        let content = saved(&store("a", "x", Some(7.0)));
        let yesterday = noon() - SignedDuration::from_hours(24);
        for (name, identity, now) in [
            ("b", "x", noon()),
            ("a", "y", noon()),
            ("a", "x", yesterday),
        ] {
            let fresh = store(name, identity, None);
            assert_eq!(restore(&content, &fresh, now), 0);
            assert!(state(&fresh).last_success.is_none());
        }
        let ahead = noon() - MAX_AHEAD;
        let more = ahead - SignedDuration::from_millis(1);
        assert_eq!(restore(&content, &store("a", "x", None), more), 0);
        assert_eq!(restore(&content, &store("a", "x", None), ahead), 1);
        let zero = saved(&store("a", "x", Some(0.0)));
        assert_eq!(restore(&zero, &store("a", "x", None), noon()), 1);
        let collected = store("a", "x", Some(8.0));
        assert_eq!(restore(&content, &collected, noon()), 0, "has its own");
    }

    #[tokio::test]
    async fn a_sample_that_the_collector_does_not_yield_makes_the_others_doubtful() {
        let good = saved(&store("a", "x", Some(7.0)));
        let licenses = format!("[\"{}\",[]]", defs::LICENSES.name);
        assert!(good.contains(&licenses), "{good}");
        for (known, odd) in [
            (licenses.as_str(), "[\"other\",[]]"),
            ("_licenses\",[]]", "_licenses\",[\"ultimate\"]]"),
            ("[\"ultimate\"]]", "[]]"),
            ("[1,7.0]", "[1,-7.0]"),
            ("[1,7.0]", "[2,7.0]"),
            // One series twice: Prometheus would refuse the whole scrape.
            ("[1,7.0]", "[0,7.0]"),
            (
                "[\"ultimate\"]],[",
                "[\"ultimate\"]],[\"tencentcloud_cwp_edition_licenses\",[\"ultimate\"]],[",
            ),
        ] {
            let fresh = store("a", "x", None);
            let content = good.replace(known, odd);
            assert_ne!(content, good, "{known}");
            assert_eq!(restore(&content, &fresh, noon()), 0, "{odd}");
        }
    }

    #[tokio::test]
    async fn content_that_is_damaged_or_of_another_version_is_an_error() {
        let good = saved(&store("a", "x", Some(7.0)));
        for (bad, why) in [
            (String::new(), "damaged"),
            ("{}".to_owned(), "damaged"),
            ("not json".to_owned(), "damaged"),
            (good[..good.len() / 2].to_owned(), "damaged"),
            (good.replace("snapshots\":3", "snapshots\":2"), "the form 2"),
            (good.replace("snapshots\":3", "snapshots\":4"), "the form 4"),
            (good.replace("\"accounts\"", "\"acounts\""), "damaged"),
            (good.replace("\"name\"", "\"more\":1,\"name\""), "damaged"),
        ] {
            let error = Document::parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
