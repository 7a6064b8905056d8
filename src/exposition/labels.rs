//! What lines say of an account whatever its snapshots: prepared once for a
//! configuration, not for each scrape.

use std::sync::Arc;

use super::format::{escaped, label};
use crate::snapshot::{AccountState, Accounts};

/// The labels of all accounts of a configuration, in its order.
#[derive(Debug)]
pub(super) struct Labels {
    pub(super) of: Arc<Accounts>,
    pub(super) accounts: Vec<AccountLabels>,
}

/// The labels of an account. All begin within the account's value and end before the
/// quote that closes the last one.
#[derive(Debug)]
pub(super) struct AccountLabels {
    /// The account alone.
    pub(super) account: Box<[u8]>,
    /// With its endpoint, its region and its configured labels.
    pub(super) info: Box<[u8]>,
    /// With each collector.
    pub(super) collectors: Box<[Box<[u8]>]>,
}

impl Labels {
    pub(super) fn new(of: Arc<Accounts>) -> Self {
        let accounts = of.list().iter().map(|account| AccountLabels::new(account));
        Self {
            accounts: accounts.collect(),
            of,
        }
    }
}

impl AccountLabels {
    pub(super) fn new(account: &AccountState) -> Self {
        let name = escaped(account.name.as_bytes());
        let region = account.region.as_deref().unwrap_or_default();
        let mut info = name.to_vec();
        info.push(b'"');
        label(&mut info, ["", "endpoint"], &account.endpoint);
        label(&mut info, ["", "region"], region);
        for (name, value) in &account.labels {
            label(&mut info, ["label_", name], value);
        }
        // The last quote is every line's.
        info.pop();
        let collectors = account.slots.iter().map(|slot| {
            let mut labels = name.to_vec();
            labels.push(b'"');
            label(&mut labels, ["", "collector"], slot.collector().name());
            labels.pop();
            labels.into()
        });
        Self {
            collectors: collectors.collect(),
            account: name.as_ref().into(),
            info: info.into(),
        }
    }
}
