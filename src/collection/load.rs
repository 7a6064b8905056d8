//! Whether the budget suffices for the pages of the accounts' lists, which nobody knows before
//! they were read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::collection::snapshot::{AccountState, Store};
use crate::config::ActiveConfig;

/// From the start to the first check: all accounts were collected a minute after the start.
const FIRST_CHECK: Duration = Duration::from_secs(90);

/// From one check to the next.
const CHECK_EVERY: Duration = Duration::from_secs(300);

/// The accounts of a credential that need more requests for one action than the budget allows.
#[derive(Debug, PartialEq)]
struct Overload {
    accounts: u32,
    /// Requests a second.
    needed: f64,
    /// The interval that would do, in seconds.
    least_interval: f64,
}

/// Checks again and again, and warns once of each collector whose lists need too much.
pub async fn watch(store: Arc<Store>, active: Arc<ActiveConfig>) {
    let mut warned = BTreeSet::new();
    tokio::time::sleep(FIRST_CHECK).await;
    loop {
        let sustained = active.load().config.rate_limit().sustained();
        let overloads = overloads(store.load().list(), sustained);
        warned.retain(|collector| overloads.contains_key(collector));
        for (collector, overload) in overloads {
            if warned.insert(collector) {
                overload.log(collector, sustained);
            }
        }
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// The greatest overload of each collector, if there is one.
fn overloads(accounts: &[Arc<AccountState>], sustained: f64) -> BTreeMap<&'static str, Overload> {
    // By collector and whose quota it is: accounts, requests of all their collections, and
    // requests a second.
    let mut charged = HashMap::new();
    for account in accounts {
        let Some(quota) = account.key_source.quota() else {
            continue;
        };
        for slot in &account.slots {
            let key = (slot.collector().name(), quota.clone());
            let (accounts, requests, rate) = charged.entry(key).or_insert((0_u32, 0.0, 0.0));
            let of_slot = f64::from(slot.load().requests());
            *accounts += 1;
            *requests += of_slot;
            *rate += of_slot / slot.schedule().interval.as_secs_f64();
        }
    }
    let mut greatest = BTreeMap::<_, Overload>::new();
    for ((collector, _), (accounts, requests, needed)) in charged {
        let before = greatest
            .get(collector)
            .map_or(sustained, |most| most.needed);
        if needed > before {
            let overload = Overload {
                accounts,
                needed,
                least_interval: (requests / sustained).ceil(),
            };
            greatest.insert(collector, overload);
        }
    }
    greatest
}

impl Overload {
    fn log(&self, collector: &str, sustained: f64) {
        let Self {
            accounts,
            needed,
            least_interval,
        } = self;
        warn!(
            collector,
            accounts,
            requests_per_second = format_args!("{needed:.1}"),
            budget = format_args!("{sustained:.1}"),
            remedy = format_args!(
                "set the interval of this collector to at least {least_interval}s, or raise \
                 api.rate_limit if the quota allows it"
            ),
            "the accounts of one credential need more requests than its budget allows, all pages \
             of their lists included: collections are late"
        );
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::collection::snapshot::{CollectorState, Revision, Slot, Success, TestKey};
    use crate::collectors::Schedule;
    use crate::collectors::license_general::LicenseGeneral;
    use crate::config::{Config, Environment};
    use crate::system::clock::Clock;
    use crate::system::logging::fixture::CapturedLog;

    /// An account with this quota, whose collections every minute take so many requests.
    fn account(quota: &'static str, requests: u32) -> Arc<AccountState> {
        let slot = Slot::new(
            &LicenseGeneral,
            "a",
            Schedule::default(),
            &Revision::default(),
        );
        slot.store(CollectorState {
            last_success: Some(Success {
                at: Clock::new(|| Timestamp::UNIX_EPOCH).moment(),
                samples: [].into(),
                rows_hidden: None,
                requests,
            }),
            ..CollectorState::default()
        });
        Arc::new(AccountState {
            name: "a".to_owned(),
            identity: String::new(),
            endpoint: String::new(),
            region: None,
            labels: BTreeMap::new(),
            key_source: Box::new(TestKey {
                quota,
                ..TestKey::default()
            }),
            slots: vec![slot],
        })
    }

    #[test]
    fn the_pages_of_all_accounts_of_a_credential_count() {
        let accounts = [account("k", 100), account("k", 50), account("other", 100)];
        assert_eq!(overloads(&accounts, 2.5), BTreeMap::new());
        let overload = Overload {
            accounts: 2,
            needed: 150.0 / 60.0,
            least_interval: 75.0,
        };
        let expected = BTreeMap::from([("license_general", overload)]);
        assert_eq!(overloads(&accounts, 2.0), expected);
        assert_eq!(overloads(&accounts[1..], 2.0), BTreeMap::new());
    }

    #[tokio::test(start_paused = true)]
    async fn an_overload_is_told_once_with_the_interval_that_would_do_and_again_if_it_returns() {
        let captured = CapturedLog::start();
        // Ten requests a second are 8.9 that keep up.
        let store = Arc::new(Store::new(vec![account("k", 1000)]));
        let now = Clock::new(|| Timestamp::UNIX_EPOCH).moment();
        let keys = ["TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"];
        let environment =
            Environment::from_iter(keys.map(|name| (name.to_owned(), "k".to_owned())));
        let config = Config::load(None, &environment, &[]).unwrap();
        let active = Arc::new(ActiveConfig::new(config, now));
        tokio::spawn(watch(Arc::clone(&store), active));
        tokio::time::sleep(CHECK_EVERY * 3).await;
        let lines = captured.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("requests_per_second=16.7"), "{lines:?}");
        assert!(lines[0].contains("at least 113s"), "{lines:?}");
        store.replace(vec![account("k", 500)]);
        tokio::time::sleep(CHECK_EVERY).await;
        store.replace(vec![account("k", 1000)]);
        tokio::time::sleep(CHECK_EVERY).await;
        assert_eq!(captured.lines().len(), 2);
    }
}
