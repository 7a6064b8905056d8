//! The licence counts of an account, and the switch that renews licences.

use serde::Serialize;

use crate::collectors::Sample;
use crate::collectors::license_general::defs;

/// The licence counts of an account; `null` where a count is not known.
#[derive(Debug, Default, Serialize)]
pub struct Licences {
    /// In total, isolated and expired ones included.
    pub total: Option<u64>,
    /// Available for further servers.
    pub available: Option<u64>,
    /// Bound to a server.
    pub used: Option<u64>,
    /// Not expired.
    pub not_expired: Option<u64>,
    /// Expiring within 15 days.
    pub near_expiry: Option<u64>,
    /// Expired.
    pub expired: Option<u64>,
    /// Available for application protection.
    pub application_available: Option<u64>,
    /// Destroyed orders; not licences.
    pub orders_destroyed: Option<u64>,
}

impl Licences {
    /// Stores the value of `sample`, if it is one of these counts.
    pub(super) fn add(&mut self, sample: &Sample) {
        let count = match sample.metric.name {
            name if name == defs::LICENSES.name => &mut self.total,
            name if name == defs::AVAILABLE.name => &mut self.available,
            name if name == defs::USED.name => &mut self.used,
            name if name == defs::NOT_EXPIRED.name => &mut self.not_expired,
            name if name == defs::NEAR_EXPIRY.name => &mut self.near_expiry,
            name if name == defs::EXPIRED.name => &mut self.expired,
            name if name == defs::APPLICATION_AVAILABLE.name => &mut self.application_available,
            name if name == defs::ORDERS_DESTROYED.name => &mut self.orders_destroyed,
            _ => return,
        };
        *count = whole(sample.value);
    }
}

/// The switch of automatic renewal.
pub(super) const AUTO_RENEWAL: &str = "auto_renewal";

/// The value of `sample`, if it is the switch of automatic renewal.
pub(super) fn auto_renewal(sample: &Sample) -> Option<bool> {
    let is_switch = sample.metric.name == defs::SWITCH.name && sample.label() == AUTO_RENEWAL;
    let value = is_switch.then(|| whole(sample.value)).flatten();
    value.map(|value| value != 0)
}

/// The value of a sample as a whole number, if it is one.
pub(super) fn whole(value: f64) -> Option<u64> {
    const MOST: f64 = (1_u64 << 53) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be whole and in range"
    )]
    ((0.0..=MOST).contains(&value) && value.fract().abs() < f64::EPSILON).then_some(value as u64)
}
