//! The health of an account, and its urgency.

use std::collections::BTreeMap;

use serde::Serialize;

use super::licences::{Licences, auto_renewal};
use super::orders::{Attention, NextDeadline, Orders};
use crate::collection::snapshot::AccountState;
use crate::system::clock::TimePoint;

/// The health of an account. The most urgent comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// The last collection failed, or its values have expired.
    Failing,
    /// Licences have expired.
    Expired,
    /// An order ends soon and nothing renews it, or it has ended.
    OrderEnding,
    /// Licences expire within 15 days.
    NearExpiry,
    /// No licence is available for a further server.
    Exhausted,
    /// No collection has ended yet.
    Waiting,
    /// None of these.
    Ok,
}

impl Health {
    /// Every health, the most urgent first.
    pub const ALL: [Self; 7] = [
        Self::Failing,
        Self::Expired,
        Self::OrderEnding,
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
            Self::OrderEnding => "order_ending",
            Self::NearExpiry => "near_expiry",
            Self::Exhausted => "exhausted",
            Self::Waiting => "waiting",
            Self::Ok => "ok",
        }
    }
}

/// The number of accounts of each health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct HealthCounts(BTreeMap<Health, usize>);

impl Default for HealthCounts {
    fn default() -> Self {
        Self(Health::ALL.map(|health| (health, 0)).into())
    }
}

impl HealthCounts {
    pub(super) fn increment(&mut self, health: Health) {
        *self.0.entry(health).or_default() += 1;
    }

    /// The number of accounts of this health.
    #[must_use]
    pub fn of(&self, health: Health) -> usize {
        self.0.get(&health).copied().unwrap_or_default()
    }

    /// The number of all accounts.
    #[must_use]
    pub fn all(&self) -> usize {
        self.0.values().sum()
    }
}

/// The order in which accounts need attention: the smallest is the most urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Urgency {
    pub(super) health: Health,
    /// Whether other accounts of the same health are more urgent.
    can_wait: bool,
}

/// The part of the status that is calculated for all accounts, on the page or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judgement {
    pub(super) urgency: Urgency,
    /// The next deadline of an order that is not isolated.
    pub(super) next_deadline: Option<NextDeadline>,
}

impl Judgement {
    /// The judgement of `account` at `now`.
    pub(super) fn of(account: &AccountState, now: TimePoint) -> Self {
        let (mut licences, mut renewal) = (Licences::default(), None);
        let (mut failing, mut waiting) = (false, false);
        let states: Vec<_> = account
            .slots
            .iter()
            .map(|slot| (slot, slot.load()))
            .collect();
        let samples = states
            .iter()
            .filter_map(|(slot, state)| slot.samples(state, now));
        let orders = Orders::read(samples.flatten(), now.wall.as_second());
        let ending = orders.most_urgent().map(|order| order.attention);
        // The failure of another collector shows beside that collector only.
        for (slot, state) in states.iter().filter(|(slot, _)| slot.decides()) {
            let samples = slot.samples(state, now);
            for sample in samples.unwrap_or_default() {
                licences.add(sample);
                renewal = renewal.or_else(|| auto_renewal(sample));
            }
            match state.succeeded() {
                None => waiting = true,
                Some(succeeded) => failing |= !succeeded || samples.is_none(),
            }
        }
        let some = |count: Option<u64>| count.is_some_and(|count| count > 0);
        let health = if failing {
            Health::Failing
        } else if some(licences.expired) {
            Health::Expired
        } else if ending.is_some() {
            Health::OrderEnding
        } else if some(licences.near_expiry) {
            Health::NearExpiry
        } else if licences.available == Some(0) && some(licences.total) {
            Health::Exhausted
        } else if waiting {
            Health::Waiting
        } else {
            Health::Ok
        };
        let can_wait = match health {
            Health::Failing => licences.total.is_some(),
            Health::OrderEnding => ending != Some(Attention::Now),
            Health::NearExpiry => renewal != Some(false),
            _ => false,
        };
        Self {
            urgency: Urgency { health, can_wait },
            next_deadline: orders.next_deadline(),
        }
    }
}
