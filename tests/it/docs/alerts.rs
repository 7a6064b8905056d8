//! The section on alerts says what the rules do.

use super::code;
use super::generated::{as_code, assert_table};
use crate::harness::repository_file;
use crate::rules::alerts;

#[test]
fn the_alerts_are_those_of_the_rules() {
    let alerts = alerts();
    let rows = alerts.iter().map(|(name, rule)| {
        let severity = rule["labels"]["severity"].as_str().unwrap();
        let after = rule.get("for").and_then(|after| after.as_str());
        let [name, severity, after] =
            [name, severity, after.unwrap_or_default()].map(|cell| Some(as_code(cell)));
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
        .filter(|word| word.starts_with("job_"));
    let named: Vec<&str> = named.collect();
    for name in &named {
        assert!(rules.contains(&format!("- record: {name}\n")), "{name}");
    }
    assert!(named.len() >= 4, "{named:?}");
}
