//! `/sd`: the accounts as targets of Prometheus' HTTP service discovery.

use serde_json::{Map, Value, json};

use crate::collection::snapshot::Accounts;

/// The accounts in the format of Prometheus' HTTP service discovery.
pub(super) fn targets(accounts: &Accounts) -> String {
    let groups = accounts.list().iter().map(|account| {
        let meta = |name: &str| format!("__meta_tencentcloud_cwp_{name}");
        let region = account.region.as_ref();
        let region = region.map(|region| (meta("region"), region.clone()));
        let configured = account.labels.iter();
        let configured =
            configured.map(|(name, value)| (meta(&format!("label_{name}")), value.clone()));
        let labels: Map<String, Value> = [
            (meta("account"), account.name.clone()),
            (meta("endpoint"), account.endpoint.clone()),
        ]
        .into_iter()
        .chain(region)
        .chain(configured)
        .map(|(name, value)| (name, value.into()))
        .collect();
        json!({"targets": [account.name], "labels": labels})
    });
    Value::from_iter(groups).to_string()
}
