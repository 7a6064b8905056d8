//! What the fields and rows of answers mean, by the tables of the documentation.

use std::collections::{BTreeMap, BTreeSet};

use cwp_exporter::collectors::{Collected, Sample};
use serde_json::Value;

use crate::moment;

/// A sample: its metric, its labels without the account, and its value.
type Read = (String, Vec<String>, u64);

/// How a field becomes a sample.
#[derive(Clone, Copy)]
enum Kind {
    Count,
    Switch,
    Word,
}

use Kind::{Count, Switch, Word};

/// The fields of each collector without rows: the field, the metric after
/// `tencentcloud_cwp_`, and the metric's second label.
const GENERAL: &[(&str, Kind, &str, &str)] = &[
    ("LicenseCnt", Count, "licenses", ""),
    ("AvailableLicenseCnt", Count, "licenses_available", ""),
    ("UsedLicenseCnt", Count, "licenses_used", ""),
    ("NotExpiredLicenseCnt", Count, "licenses_not_expired", ""),
    ("NearExpiryLicenseCnt", Count, "licenses_near_expiry", ""),
    ("ExpireLicenseCnt", Count, "licenses_expired", ""),
    (
        "ProVersionLicenseCnt",
        Count,
        "edition_licenses",
        "professional",
    ),
    (
        "FlagshipVersionLicenseCnt",
        Count,
        "edition_licenses",
        "ultimate",
    ),
    (
        "CwpVersionLicenseCnt",
        Count,
        "edition_licenses",
        "inclusive",
    ),
    (
        "AISecurityVersionLicenseCnt",
        Count,
        "edition_licenses",
        "ai_security",
    ),
    (
        "AvailableProVersionLicenseCnt",
        Count,
        "edition_licenses_available",
        "professional",
    ),
    (
        "AvailableFlagshipVersionLicenseCnt",
        Count,
        "edition_licenses_available",
        "ultimate",
    ),
    (
        "AvailableLHLicenseCnt",
        Count,
        "edition_licenses_available",
        "inclusive",
    ),
    (
        "AvailableAISecurityLicenseCnt",
        Count,
        "edition_licenses_available",
        "ai_security",
    ),
    (
        "ApplicationAvailableLicenseCnt",
        Count,
        "application_licenses_available",
        "",
    ),
    ("DestroyOrderNum", Count, "orders_destroyed", ""),
    ("AutoOpenStatus", Switch, "switch_enabled", "auto_upgrade"),
    (
        "IsOpenStatusHistory",
        Switch,
        "switch_enabled",
        "auto_upgrade_ever",
    ),
    (
        "AutoRepurchaseSwitch",
        Switch,
        "switch_enabled",
        "auto_purchase",
    ),
    (
        "AutoRepurchaseRenewSwitch",
        Switch,
        "switch_enabled",
        "auto_purchase_renewal",
    ),
    (
        "RepurchaseRenewSwitch",
        Switch,
        "switch_enabled",
        "auto_renewal",
    ),
    (
        "AutoBindRaspSwitch",
        Switch,
        "switch_enabled",
        "auto_bind_rasp",
    ),
    (
        "AutoOpenRaspSwitch",
        Switch,
        "switch_enabled",
        "auto_open_rasp",
    ),
    (
        "AutoDowngradeSwitch",
        Switch,
        "switch_enabled",
        "auto_downgrade",
    ),
    ("ProtectType", Word, "protect_type", ""),
];

const STAT: &[(&str, Kind, &str, &str)] = &[
    ("MachinesAll", Count, "servers", ""),
    ("AgentsOnline", Count, "agent_servers", "online"),
    ("Offline", Count, "agent_servers", "offline"),
    ("Shutdown", Count, "agent_servers", "shutdown"),
    ("MachinesUninstalled", Count, "agent_servers", "none"),
    ("AgentsBasic", Count, "edition_servers", "basic"),
    ("AgentsPro", Count, "edition_servers", "professional"),
    ("FlagshipMachineCnt", Count, "edition_servers", "ultimate"),
    (
        "AgentsProExpireWithInSevenDays",
        Count,
        "servers_protection_near_expiry",
        "",
    ),
];

const STORAGE: &[(&str, Kind, &str, &str)] = &[
    ("TotalSize", Count, "log_storage_bytes", ""),
    ("UsedSize", Count, "log_storage_used_bytes", ""),
];

/// Compares what was collected with the `pages` as they are read here.
pub fn check(collector: &str, pages: &[Value], collected: &Collected) {
    let Some(first) = pages.first() else {
        return;
    };
    let found: BTreeSet<Read> = collected.samples.iter().map(read).collect();
    match collector {
        "license_general" => assert_eq!(found, fields(first, GENERAL)),
        "general_stat" => assert_eq!(found, fields(first, STAT)),
        "history_service" => assert_eq!(found, log_service(first)),
        "license_list" => check_orders(pages, collected),
        "log_storage_statistic" => assert_eq!(found, fields(first, STORAGE)),
        other => panic!("a collector that is not known here: {other}"),
    }
}

fn read(sample: &Sample) -> Read {
    let labels = sample.labels.iter().map(ToString::to_string).collect();
    (
        sample.metric.name.to_owned(),
        labels,
        sample.value.to_bits(),
    )
}

fn series(name: &str, labels: &[&str], value: f64) -> Read {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    (format!("tencentcloud_cwp_{name}"), labels, value.to_bits())
}

/// A count: a whole number that a double holds.
fn count(value: &Value) -> Option<f64> {
    value
        .as_u64()
        .filter(|count| *count <= 1 << 53)
        .map(|count| count as f64)
}

/// A text of bounded length.
fn word(value: &Value) -> Option<&str> {
    value.as_str().filter(|word| word.len() <= 128)
}

fn fields(answer: &Value, table: &[(&str, Kind, &str, &str)]) -> BTreeSet<Read> {
    let samples = table.iter().filter_map(|(field, kind, metric, label)| {
        let value = &answer[*field];
        let labels: &[&str] = if label.is_empty() { &[] } else { &[label] };
        Some(match kind {
            Count => series(metric, labels, count(value)?),
            Switch => series(metric, labels, f64::from(u8::from(value.as_bool()?))),
            Word => series(metric, &[word(value)?], 1.0),
        })
    });
    samples.collect()
}

fn status(number: u64) -> String {
    match number {
        1 => "normal".to_owned(),
        2 => "isolated".to_owned(),
        3 => "destroyed".to_owned(),
        other => other.to_string(),
    }
}

fn renewal(number: u64) -> String {
    match number {
        0 => "unset".to_owned(),
        1 => "auto".to_owned(),
        2 => "manual".to_owned(),
        other => other.to_string(),
    }
}

fn seconds(value: &Value) -> Option<i64> {
    moment::read(value.as_str()?)?
}

fn log_service(answer: &Value) -> BTreeSet<Read> {
    let number = answer["Status"].as_u64();
    let state = number.map_or(String::new(), |number| match number {
        0 => "none".to_owned(),
        number => status(number),
    });
    let flag = answer["IsAutoOpenRenew"]
        .as_u64()
        .map_or(String::new(), renewal);
    let order = word(&answer["ResourceId"]).unwrap_or_default();
    let mut all = BTreeSet::from([series("log_service_info", &[order, &state, &flag], 1.0)]);
    if number != Some(0)
        && let Some(end) = seconds(&answer["EndTime"])
    {
        all.insert(series(
            "log_service_deadline_timestamp_seconds",
            &[],
            end as f64,
        ));
    }
    all
}

/// The id of an order, by which it is known.
fn order_id(row: &Value) -> Option<String> {
    match word(&row["ResourceId"]) {
        Some(id) if !id.trim().is_empty() => Some(id.to_owned()),
        _ => Some(format!("license:{}", row["LicenseId"].as_u64()?)),
    }
}

/// The samples of one order.
fn order(id: &str, row: &Value) -> BTreeSet<Read> {
    let number = |name: &str| row[name].as_u64();
    let kind = number("LicenseType");
    let (edition, payment) = match kind {
        Some(0) => ("professional", "postpaid"),
        Some(1 | 6) => ("professional", "prepaid"),
        Some(2 | 7) => ("ultimate", "prepaid"),
        Some(3) => ("inclusive", "prepaid"),
        Some(8) => ("ai_security", "prepaid"),
        _ => ("unknown", "unknown"),
    };
    let sources = [
        "paid",
        "trial",
        "gift",
        "experience",
        "gift_ssl",
        "gift_cvm",
    ];
    let source = number("SourceType").map_or(String::new(), |number| {
        let known = usize::try_from(number).ok().and_then(|at| sources.get(at));
        known.map_or_else(|| number.to_string(), |word| (*word).to_owned())
    });
    let alias: String = row["Alias"]
        .as_str()
        .unwrap_or_default()
        .chars()
        .take(64)
        .collect();
    let labels = [
        id,
        &kind.map(|kind| kind.to_string()).unwrap_or_default(),
        edition,
        payment,
        &source,
        &number("OrderStatus").map_or(String::new(), status),
        &number("AutoRenewFlag").map_or(String::new(), renewal),
        &alias,
    ];
    let values = [
        (
            "order_deadline_timestamp_seconds",
            seconds(&row["Deadline"]).map(|at| at as f64),
        ),
        (
            "order_purchase_timestamp_seconds",
            seconds(&row["BuyTime"]).map(|at| at as f64),
        ),
        ("order_licenses", count(&row["LicenseCnt"])),
        ("order_licenses_used", count(&row["UsedLicenseCnt"])),
        ("order_licenses_frozen", count(&row["FreezeNum"])),
    ];
    let values = values
        .into_iter()
        .filter_map(|(name, value)| Some(series(name, &[id], value?)));
    values.chain([series("order_info", &labels, 1.0)]).collect()
}

fn check_orders(pages: &[Value], collected: &Collected) {
    let rows = pages
        .iter()
        .flat_map(|page| page["List"].as_array())
        .flatten();
    let mut candidates: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for row in rows {
        if let Some(id) = order_id(row) {
            candidates.entry(id).or_default().push(row);
        }
    }
    for samples in &collected.rows {
        let found: BTreeSet<Read> = samples.iter().map(read).collect();
        let id = samples.first().map_or("", |sample| sample.label());
        let rows = candidates.get(id).map_or(&[][..], Vec::as_slice);
        assert!(rows.iter().any(|row| order(id, row) == found), "{found:?}");
    }
    // Every order is among those counted, and every order that lives has its series.
    let total: f64 = collected.samples.iter().map(|sample| sample.value).sum();
    let has_spoiled_rows = collected.drift.iter().any(|drift| drift.field == "List[]");
    if collected.requests == 1 && !has_spoiled_rows {
        assert!(
            (total - candidates.len() as f64).abs() < 0.5,
            "{:?}",
            collected.samples
        );
        let lives = |rows: &&Vec<&Value>| {
            rows.last()
                .is_some_and(|row| row["OrderStatus"].as_u64() != Some(3))
        };
        let living = candidates.values().filter(lives).count();
        assert_eq!(collected.rows.len(), living);
    }
}
