//! The section on alerts says what the rules do.

use super::code;
use super::generated::{as_code, assert_table};
use crate::harness::repository_file;
use crate::rules::alerts;

#[test]
fn the_alerts_are_those_of_the_rules() {
    // Alerts of one name differ in how bad it is: they share a row.
    let mut rows: Vec<(String, Vec<String>, String)> = Vec::new();
    for (name, rule) in alerts() {
        let severity = as_code(rule["labels"]["severity"].as_str().unwrap());
        let after = rule.get("for").and_then(|after| after.as_str());
        let after = as_code(after.unwrap_or_default());
        match rows.iter_mut().find(|(other, ..)| *other == name) {
            Some((_, severities, of_first)) => {
                severities.push(severity);
                assert_eq!(*of_first, after, "{name}");
            }
            None => rows.push((name, vec![severity], after)),
        }
    }
    let rows = rows.into_iter().map(|(name, severities, after)| {
        let [name, severity, after] = [as_code(&name), severities.join(", "), after].map(Some);
        [name, severity, after, None]
    });
    assert_table("alerts", rows);
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
