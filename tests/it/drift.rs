//! The metrics that rules, dashboards, runbooks and the README speak of are those that there
//! are, and hardly any is spoken of by nobody.
//!
//! That the README's tables, the catalogue and a live `/metrics` agree is tested beside the
//! README's other tables.

use std::collections::BTreeSet;

use crate::harness::{catalogue, documents, repository_file};
use crate::rules::{absolute, is_exposed, metric_names, recorded};

/// Metrics that no rule and no dashboard uses, with the reason.
const UNUSED: [(&str, &str); 2] = [
    (
        "cwp_exporter_state_saves_total",
        "what a failed save costs, values after a restart, is no reason to wake anybody",
    ),
    (
        "process_virtual_memory_bytes",
        "one of the usual names; the memory that matters is the resident one",
    ),
];

/// The text of every file in a folder whose name ends so.
fn files(folder: &str, end: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(absolute(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let paths = names
        .filter(|name| name.ends_with(end))
        .map(|name| format!("{folder}/{name}"));
    let files = paths.map(|path| (path.clone(), repository_file(&path)));
    files.collect()
}

/// Where alerts and panels come from.
fn users() -> Vec<(String, String)> {
    let rules = files("deploy/prometheus", "rules.yml");
    rules.into_iter().chain(files("grafana", ".json")).collect()
}

#[test]
fn whoever_names_a_metric_names_one_that_exists() {
    let recorded = recorded();
    let mut texts = users();
    texts.extend(files("deploy/runbooks", ".md"));
    texts.extend(documents());
    assert!(texts.len() > 24, "{}", texts.len());
    for (path, text) in texts {
        for name in metric_names(&text) {
            // `cwp_exporter_api_*` stands for all that begin so.
            let some = name.ends_with('_');
            let exists = if some {
                catalogue().iter().any(|each| each.name.starts_with(name))
            } else {
                is_exposed(name) || recorded.contains(name)
            };
            assert!(exists, "{path}: {name}");
        }
    }
}

#[test]
fn every_metric_is_used_or_it_is_said_why_not() {
    let users = users();
    let used: BTreeSet<&str> = users
        .iter()
        .flat_map(|(_, text)| metric_names(text))
        .collect();
    let unused = catalogue().into_iter().map(|metric| metric.name);
    let unused = unused.filter(|name| {
        let parts = ["", "_bucket", "_sum", "_count"].map(|part| format!("{name}{part}"));
        !parts.iter().any(|part| used.contains(part.as_str()))
    });
    let expected = UNUSED.map(|(name, reason)| {
        assert!(!reason.is_empty());
        name
    });
    assert_eq!(unused.collect::<BTreeSet<&str>>(), BTreeSet::from(expected));
}
