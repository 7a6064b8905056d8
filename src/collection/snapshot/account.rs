//! What is known of one account.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{CollectorState, Slot};
use crate::system::clock::TimePoint;

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
