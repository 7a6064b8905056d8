//! The accounts of this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::{AccountState, Revision};

/// The accounts of this process. The set is replaced whole, too.
pub struct Store {
    accounts: ArcSwap<Accounts>,
    revision: Revision,
    /// Once every account has been collected, a new account does not take readiness back.
    ready: AtomicBool,
}

/// The states of all accounts at a moment. All have the same collectors in the same order.
#[derive(Default)]
pub struct Accounts {
    list: Vec<Arc<AccountState>>,
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
