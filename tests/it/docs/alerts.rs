//! The section on alerts says what the rules do.

use super::code;
use super::generated::{as_code, assert_table};
use crate::harness::repository_file;
use crate::rules::alertmanager::pages_by_day;
use crate::rules::alerts;

/// Adds a cell's text, unless it is there.
fn add(cells: &mut Vec<String>, text: &str) {
    let text = as_code(text);
    if !text.is_empty() && !cells.contains(&text) {
        cells.push(text);
    }
}

#[test]
fn the_alerts_are_those_of_the_rules() {
    // Alerts of one name differ in how bad it is, or for how long it is so: they share a row.
    let mut rows: Vec<(String, Vec<String>, Vec<String>)> = Vec::new();
    for (name, rule) in alerts() {
        if rows.last().is_none_or(|(last, ..)| *last != name) {
            rows.push((name, Vec::new(), Vec::new()));
        }
        let (_, severities, after) = rows.last_mut().unwrap();
        add(severities, rule["labels"]["severity"].as_str().unwrap());
        let pending = rule.get("for").and_then(|after| after.as_str());
        add(after, pending.unwrap_or_default());
    }
    let rows = rows.into_iter().map(|(name, severities, after)| {
        let cells = [as_code(&name), severities.join(", "), after.join(", ")];
        let [name, severity, after] = cells.map(Some);
        [name, severity, after, None]
    });
    assert_table("alerts", rows);
}

#[test]
fn the_alerts_that_come_at_night_are_those_that_page_at_any_hour() {
    let alerts = alerts().into_iter();
    let critical = alerts.filter(|(_, rule)| rule["labels"]["severity"] == "critical");
    let by_day = critical.filter(|(name, _)| !pages_by_day(name));
    assert_table(
        "at night",
        by_day.map(|(name, _)| [Some(as_code(&name)), None]),
    );
}

#[test]
fn the_recorded_series_are_those_of_the_rules() {
    let page = repository_file("docs/alerts.md");
    let rules = repository_file("deploy/prometheus/rules.yml");
    let named = code(&page)
        .into_iter()
        .filter(|word| word.starts_with("cluster_namespace_job_account"));
    let named: Vec<&str> = named.collect();
    for name in &named {
        assert!(rules.contains(&format!("- record: {name}\n")), "{name}");
    }
    assert!(named.len() >= 4, "{named:?}");
}
