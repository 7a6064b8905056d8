//! What the README says of the status page and its JSON.

use std::collections::{BTreeMap, BTreeSet};

use cwp_exporter::server::language::Language;
use cwp_exporter::server::status::{Health, PER_PAGE, Query, Sort};
use jiff::Timestamp;
use serde_json::Value;

use super::generated::{as_code, assert_table};
use super::{Readme, only_code};
use crate::harness::{Cloud, Exporter, Program, page_once_ready};
use crate::status::{ORDERS, Stories, data, exporter_with_orders};

/// Maps whose keys differ from answer to answer.
const MAPS: [&str; 6] = [
    "accounts[].editions",
    "accounts[].labels",
    "accounts[].servers.agents",
    "accounts[].servers.editions",
    "accounts[].switches",
    "health",
];

/// An account that has nothing but its name in good order.
const ODD_ORDERS: &str = "name: plain
    orders: [{ResourceId: a, LicenseCnt: -1, UsedLicenseCnt: -1, FreezeNum: -1, BuyTime: x}]
    answers:
      DescribeGeneralStat: {MachinesAll: -1, AgentsOnline: 1}
      DescribeLogStorageStatistic: {TotalSize: -1, UsedSize: 1}
      DescribeHistoryService: {Status: 0, EndTime: ''}";

const ODD_STORAGE: &str = "name: later
    answers: {DescribeLogStorageStatistic: {TotalSize: 1, UsedSize: -1}}";

/// The types in which each key was seen.
type Seen = BTreeMap<String, BTreeSet<&'static str>>;

/// Notes the type of `value`, which is at `path`, and of what is inside.
fn note(path: &str, value: &Value, seen: &mut Seen) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if value.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(text) if text.ends_with('Z') && text.parse::<Timestamp>().is_ok() => "time",
        Value::String(_) => "string",
        Value::Array(items) => {
            let path = format!("{path}[]");
            items.iter().for_each(|item| note(&path, item, seen));
            "array"
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                let key = if MAPS.contains(&path) { "*" } else { key };
                let path = format!("{path}.{key}");
                note(path.trim_start_matches('.'), value, seen);
            }
            "object"
        }
    };
    seen.entry(path.to_owned()).or_default().insert(kind);
}

/// How the table says it: an object or array has a row only if it may be null.
fn documented(kinds: &BTreeSet<&'static str>) -> Option<String> {
    let mut kinds = kinds.clone();
    let or_null = if kinds.remove("null") { " or null" } else { "" };
    // A number may happen to be whole.
    if kinds.contains("number") {
        kinds.remove("integer");
    }
    match kinds.into_iter().collect::<Vec<_>>()[..] {
        ["object" | "array"] if or_null.is_empty() => None,
        [kind] => Some(as_code(kind) + or_null),
        ref kinds => panic!("of several types, or of none: {kinds:?}"),
    }
}

/// Complains about a URL whose path or parameters are not documented.
pub(super) fn check_url(readme: &Readme, url: &str) {
    let url = url::Url::parse(url).unwrap();
    let known = |table: &str, name: &str| {
        let rows = readme.rows(table);
        assert!(rows.iter().any(|row| only_code(&row[0]) == name), "{name}");
    };
    known("Path", url.path());
    for (name, value) in url.query_pairs() {
        known("Parameter", &name);
        if name == "health" {
            known("Health", &value);
        }
    }
}

#[tokio::test]
async fn the_json_has_exactly_the_documented_keys_with_their_types() {
    let stories = Stories::start().await;
    let mut demo = Program::start(&["demo", "--web.listen-address=127.0.0.1:0"], &[]);
    let mut seen = Seen::new();
    let url = demo.url().await;
    page_once_ready(&url).await;
    note("", &data(&url, "").await, &mut seen);
    for query in ["", "?per_page=1&page=2&sort=name&q=a", "?q=nobody"] {
        note("", &data(&stories.url, query).await, &mut seen);
    }
    // Editions of which half is known, and a failure without a word of the API's.
    let cloud = Cloud::start(
        "accounts:
  - name: a0
    secret_id: AKIDa0
    secret_key: key-a0
    fields: {ProVersionLicenseCnt: 1, AvailableFlagshipVersionLicenseCnt: 1}
  - {name: a1, secret_id: AKIDa1, secret_key: key-a1, timeline: [{at: 0s, reset: true}]}",
    )
    .await;
    let exporter = Exporter::of(&cloud, 2).await;
    exporter.ready().await;
    note("", &data(&exporter.url, "").await, &mut seen);
    // Orders, and those of which nothing can be read.
    let cloud = Cloud::start(
        &ORDERS
            .replace("name: plain", ODD_ORDERS)
            .replace("name: later", ODD_STORAGE),
    )
    .await;
    let exporter = exporter_with_orders(&cloud).await;
    note("", &data(&exporter.url, "").await, &mut seen);
    let rows = seen.iter().filter_map(|(key, kinds)| {
        let kind = documented(kinds)?;
        Some([Some(as_code(key)), Some(kind), None])
    });
    assert_table("status keys", rows);
}

#[test]
fn every_health_is_documented() {
    assert_table(
        "health",
        Health::ALL.map(|health| [Some(as_code(health.as_str())), None]),
    );
}

#[test]
fn the_parameters_are_those_that_are_read() {
    let all = Query {
        text: "x".to_owned(),
        health: Some(Health::Ok),
        sort: Sort::Name,
        page: 2,
        per_page: 2,
        language: Some(Language::Chinese),
    };
    let url = all.to_url();
    let read = url.split('&').map(|pair| pair.split('=').next().unwrap());
    let most = Query::parse("per_page=999999").per_page;
    let rows = read.map(|name| {
        let values = match name {
            "per_page" => format!("`{PER_PAGE}`, at most `{most}`"),
            _ => String::new(),
        };
        [Some(as_code(name)), Some(values), None]
    });
    assert_table("parameters", rows);
}
