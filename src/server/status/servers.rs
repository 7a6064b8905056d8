//! The servers of an account, and the storage of its log service.

use std::collections::BTreeMap;

use serde::Serialize;

use super::licences::whole;
use super::orders::{Attention, Moment, Order};
use crate::collectors::Sample;
use crate::collectors::general_stat::defs as servers;
use crate::collectors::log_storage_statistic::defs as storage;

/// The servers that Cloud Workload Protection knows.
#[derive(Debug, Default, Serialize)]
pub struct Servers {
    /// All servers.
    pub total: Option<u64>,
    /// By the state of their agent.
    pub agents: BTreeMap<String, u64>,
    /// Those with an agent, by edition.
    pub editions: BTreeMap<String, u64>,
    /// Those whose protection expires within 7 days.
    pub near_expiry: Option<u64>,
}

impl Servers {
    /// Stores the value of `sample` in `known`, if it is one of these counts.
    pub(super) fn add(known: &mut Option<Self>, sample: &Sample) {
        let (label, value) = (sample.label().to_owned(), whole(sample.value));
        match sample.metric.name {
            name if name == servers::SERVERS.name => known.get_or_insert_default().total = value,
            name if name == servers::NEAR_EXPIRY.name => {
                known.get_or_insert_default().near_expiry = value;
            }
            name if name == servers::AGENTS.name => {
                let agents = &mut known.get_or_insert_default().agents;
                agents.extend(value.map(|value| (label, value)));
            }
            name if name == servers::EDITIONS.name => {
                let editions = &mut known.get_or_insert_default().editions;
                editions.extend(value.map(|value| (label, value)));
            }
            _ => {}
        }
    }
}

/// The order of the log service.
#[derive(Debug, Serialize)]
pub struct LogService {
    /// The id of the order, empty where it is not known.
    pub order: String,
    /// What became of the order; `none` where none was bought.
    pub status: String,
    /// Whether the order renews itself.
    pub renewal: String,
    /// When the order ends.
    #[serde(rename = "deadline_at")]
    pub deadline: Option<Moment>,
    /// How much attention the end of the order needs.
    pub attention: Attention,
}

impl LogService {
    pub(super) fn new(order: &Order<'_>) -> Self {
        Self {
            order: order.order.to_string(),
            status: order.status.to_string(),
            renewal: order.renewal.to_string(),
            deadline: order.deadline,
            attention: order.attention,
        }
    }
}

/// The storage of the log service, in bytes.
#[derive(Debug, Default, Serialize)]
pub struct LogStorage {
    /// What was bought.
    pub bytes: Option<u64>,
    /// What logs take.
    pub used_bytes: Option<u64>,
}

impl LogStorage {
    /// Stores the value of `sample` in `known`, if it is one of these sizes.
    pub(super) fn add(known: &mut Option<Self>, sample: &Sample) {
        let value = whole(sample.value);
        match sample.metric.name {
            name if name == storage::SIZE.name => known.get_or_insert_default().bytes = value,
            name if name == storage::USED.name => known.get_or_insert_default().used_bytes = value,
            _ => {}
        }
    }
}
