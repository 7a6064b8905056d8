//! What is known of one account.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{CollectorState, Slot};
use crate::system::clock::TimePoint;

/// The states of one account.
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
    pub key_source: Box<dyn KeySource>,
    /// One slot for each collector.
    pub slots: Vec<Slot>,
}

/// What is known of an account's key at any moment. Never tells the key.
pub trait KeySource: Send + Sync {
    /// The source in words.
    fn text(&self) -> String;

    /// When the key in use expires; nothing otherwise.
    fn expires_at(&self) -> Option<Timestamp>;

    /// Whose quota its requests are charged to; nothing if there is no key yet.
    fn quota(&self) -> Option<String>;

    /// How many requests for `action` the key has sent in the last minute, for whichever
    /// account.
    fn spent(&self, action: &'static str) -> u32;
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

/// A key for tests: its budget is known, how much of the budget is used, and when it expires.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct TestKey {
    pub(crate) spent: u32,
    pub(crate) quota: &'static str,
    pub(crate) expires_at: Option<Timestamp>,
}

#[cfg(test)]
impl KeySource for TestKey {
    fn text(&self) -> String {
        "a test".to_owned()
    }

    fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    fn quota(&self) -> Option<String> {
        Some(self.quota.to_owned())
    }

    fn spent(&self, _: &'static str) -> u32 {
        self.spent
    }
}
