//! How an account is, in one word, and how urgent that is.

use serde::Serialize;

use super::account::{Licences, auto_renewal};
use crate::collection::snapshot::AccountState;
use crate::system::clock::TimePoint;

/// How an account is. What needs attention most comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// The last collection failed, or its values have grown too old to be shown.
    Failing,
    /// Licences have expired.
    Expired,
    /// Licences expire within 15 days.
    NearExpiry,
    /// No licence can be bound to a server any more.
    Exhausted,
    /// No collection has ended yet.
    Waiting,
    /// Nothing of that.
    Ok,
}

impl Health {
    /// Every health, the most urgent first.
    pub const ALL: [Self; 6] = [
        Self::Failing,
        Self::Expired,
        Self::NearExpiry,
        Self::Exhausted,
        Self::Waiting,
        Self::Ok,
    ];

    /// Its name in JSON and in a query.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Expired => "expired",
            Self::NearExpiry => "near_expiry",
            Self::Exhausted => "exhausted",
            Self::Waiting => "waiting",
            Self::Ok => "ok",
        }
    }
}

/// How many accounts have which health.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are those of Health")]
pub struct Counts {
    pub failing: usize,
    pub expired: usize,
    pub near_expiry: usize,
    pub exhausted: usize,
    pub waiting: usize,
    pub ok: usize,
}

impl Counts {
    pub(super) fn count(&mut self, health: Health) {
        *match health {
            Health::Failing => &mut self.failing,
            Health::Expired => &mut self.expired,
            Health::NearExpiry => &mut self.near_expiry,
            Health::Exhausted => &mut self.exhausted,
            Health::Waiting => &mut self.waiting,
            Health::Ok => &mut self.ok,
        } += 1;
    }

    /// How many accounts have this health.
    #[must_use]
    pub fn of(&self, health: Health) -> usize {
        match health {
            Health::Failing => self.failing,
            Health::Expired => self.expired,
            Health::NearExpiry => self.near_expiry,
            Health::Exhausted => self.exhausted,
            Health::Waiting => self.waiting,
            Health::Ok => self.ok,
        }
    }

    /// How many accounts there are.
    #[must_use]
    pub fn all(&self) -> usize {
        Health::ALL.into_iter().map(|health| self.of(health)).sum()
    }
}

/// An account's place among the others: what needs attention most is least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Urgency {
    pub(super) health: Health,
    /// Whether it can wait a little, compared to others of the same health.
    can_wait: bool,
}

impl Urgency {
    /// The standing of `account` at `now`.
    pub(super) fn of(account: &AccountState, now: TimePoint) -> Self {
        let mut values = Licences::default();
        let (mut failing, mut waiting) = (false, false);
        for slot in &account.slots {
            let state = slot.load();
            let samples = slot.samples(&state, now);
            for sample in samples.unwrap_or_default() {
                values.add(sample);
                if values.decide() {
                    break;
                }
            }
            // Another collector's failure shows beside that collector only.
            if slot.decides() {
                match state.succeeded() {
                    None => waiting = true,
                    Some(succeeded) => failing |= !succeeded || samples.is_none(),
                }
            }
        }
        let some = |count: Option<u64>| count.is_some_and(|count| count > 0);
        let health = if failing {
            Health::Failing
        } else if some(values.expired) {
            Health::Expired
        } else if some(values.near_expiry) {
            Health::NearExpiry
        } else if values.available == Some(0) && some(values.total) {
            Health::Exhausted
        } else if waiting {
            Health::Waiting
        } else {
            Health::Ok
        };
        Self {
            health,
            can_wait: match health {
                Health::Failing => values.total.is_some(),
                Health::NearExpiry => !account.slots.iter().any(|slot| {
                    let state = slot.load();
                    let samples = slot.samples(&state, now);
                    samples.and_then(auto_renewal) == Some(false)
                }),
                _ => false,
            },
        }
    }
}
