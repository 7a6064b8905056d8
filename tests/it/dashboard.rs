//! The Grafana dashboards: well made, in two languages, and answered by a real Prometheus.

mod cost;
mod lint;
mod live;
mod metrics;
mod platform;
mod provisioning;
mod query;
mod shape;
mod translation;

use std::iter;
use std::path::Path;

use serde_json::{Value, json};

pub(crate) use self::query::filled_in;
use crate::harness::repository_file;

/// The dashboards of which the others are translations, by the names of their files.
const NAMES: [&str; 2] = ["licences", "exporter"];

/// A dashboard, by the name of its file.
fn dashboard(name: &str) -> Value {
    serde_json::from_str(&repository_file(&format!("grafana/{name}.json"))).unwrap()
}

/// The dashboards in English.
pub(crate) fn dashboards() -> impl Iterator<Item = Value> {
    NAMES.into_iter().map(dashboard)
}

/// The data source that the reader chooses.
fn chosen_source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// A text that says something.
fn says(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

/// The items of a list; none if there is no list.
pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// All panels and rows, also the panels of the rows that are closed at first.
fn all_panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    items(&dashboard["panels"]).flat_map(|panel| iter::once(panel).chain(items(&panel["panels"])))
}

/// The panels that show something: all but rows.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    all_panels(dashboard).filter(|panel| panel["type"] != "row")
}

/// The variables that Prometheus is asked for.
pub(crate) fn query_variables(dashboard: &Value) -> impl Iterator<Item = &Value> {
    items(&dashboard["templating"]["list"]).filter(|variable| variable["type"] == "query")
}

/// The query that lists the values of a variable.
pub(crate) fn listing(variable: &Value) -> Option<String> {
    let query = variable["query"].as_str()?;
    if let Some(inside) = call(query, "label_values") {
        let (selector, label) = inside.rsplit_once(", ")?;
        return Some(format!("count by ({label}) ({selector})"));
    }
    call(query, "query_result")
        .or_else(|| call(query, "label_names"))
        .map(str::to_owned)
}

/// What is between the parentheses of a call of `function`.
fn call<'a>(text: &'a str, function: &str) -> Option<&'a str> {
    text.strip_prefix(function)?
        .strip_prefix('(')?
        .strip_suffix(')')
}

/// What Prometheus is asked, and for what.
pub(crate) struct Query<'a> {
    place: String,
    pub(crate) text: &'a str,
}

/// The queries of all panels.
fn panel_queries(dashboard: &Value) -> impl Iterator<Item = Query<'_>> {
    panels(dashboard).flat_map(|panel| {
        items(&panel["targets"]).map(move |target| Query {
            place: format!("{} {}", panel["title"], target["refId"]),
            text: target["expr"].as_str().unwrap_or_default(),
        })
    })
}

/// The queries of all panels and annotations.
pub(crate) fn queries(dashboard: &Value) -> impl Iterator<Item = Query<'_>> {
    let annotations = items(&dashboard["annotations"]["list"]).map(|annotation| Query {
        place: annotation["name"].to_string(),
        text: annotation["target"]["expr"].as_str().unwrap_or_default(),
    });
    panel_queries(dashboard).chain(annotations)
}

/// A changed copy of the dashboard.
fn with(dashboard: &Value, place: &str, value: Value) -> Value {
    let mut copy = dashboard.clone();
    *copy
        .pointer_mut(place)
        .unwrap_or_else(|| panic!("no {place}")) = value;
    assert_ne!(copy, *dashboard, "{place} was not changed");
    copy
}

#[test]
fn the_documentation_shows_pictures_of_a_readable_width_and_size() {
    let page = repository_file("docs/dashboards.md");
    for name in NAMES {
        for kind in ["-dark", "-light", ".zh-light"] {
            let path = format!("grafana/pictures/{name}{kind}.png");
            assert!(page.contains(&format!("](../{path})")), "{path}");
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
            let picture = std::fs::read(file).unwrap();
            assert!(picture.starts_with(b"\x89PNG"), "{path}");
            // A PNG begins with its signature, then the length and name of its head.
            let width = u32::from_be_bytes(picture[16..20].try_into().unwrap());
            assert_eq!(width, 1600, "{path}");
            assert!(picture.len() < 300_000, "{path}: {} bytes", picture.len());
        }
    }
}
