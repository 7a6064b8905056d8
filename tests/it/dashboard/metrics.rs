//! Dashboards and exporter speak of the same metrics.

use std::collections::BTreeSet;

use cwp_exporter::metrics::MetricDef;
use serde_json::{Value, json};

use super::query::{MADE, grouping, selectors, words};
use super::{Query, dashboards, queries, query_variables, with};
use crate::harness::{catalogue, repository_file};

/// What Prometheus itself has.
const OF_PROMETHEUS: [&str; 5] = [
    "ALERTS",
    "ALERTS_FOR_STATE",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "up",
];

/// Labels of those, of targets, and of the buckets of a histogram.
const LABELS_OF_PROMETHEUS: [&str; 8] = [
    "alertname",
    "alertstate",
    "cluster",
    "instance",
    "job",
    "le",
    "namespace",
    "severity",
];

/// Metrics that no dashboard shows, and why.
const NOT_SHOWN: [(&str, &str); 2] = [
    (
        "cwp_exporter_state_saves_total",
        "a save that fails costs values only at the next restart, and the log tells it",
    ),
    (
        "process_virtual_memory_bytes",
        "address space costs nothing; what does is resident memory",
    ),
];

/// The metric that a series of this name belongs to.
pub(super) fn metric(name: &str) -> Option<&'static MetricDef> {
    catalogue().into_iter().find(|metric| {
        let suffix = name.strip_prefix(metric.name);
        let part = matches!(suffix, Some("_bucket" | "_sum" | "_count"));
        suffix == Some("") || part && metric.kind.as_str() == "histogram"
    })
}

/// The queries of panels, annotations and variables.
fn all_queries(dashboard: &Value) -> impl Iterator<Item = Query<'_>> {
    let variables = query_variables(dashboard).map(|variable| Query {
        place: variable["name"].to_string(),
        text: variable["query"].as_str().unwrap_or_default(),
    });
    queries(dashboard).chain(variables)
}

/// What is wrong with the names in a query.
fn name_problems(query: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut labels = BTreeSet::from(LABELS_OF_PROMETHEUS);
    labels.extend(MADE);
    labels.extend(catalogue().iter().flat_map(|metric| metric.labels));
    let rules = repository_file("deploy/prometheus/rules.yml");
    for selector in selectors(query) {
        // The variables ask for what has one of two names.
        let names = selector.matchers[0].strip_prefix("__name__=~\"");
        let names = names.map_or(selector.name, |it| it.trim_end_matches('"'));
        for name in names.split('|') {
            let recorded = name.contains(':') && rules.contains(&format!("- record: {name}\n"));
            if metric(name).is_none() && !OF_PROMETHEUS.contains(&name) && !recorded {
                problems.push(format!("`{name}` is no metric of ours"));
            }
        }
        let known = metric(selector.name);
        let own = known.map_or(&[][..], |metric| metric.labels);
        for matcher in &selector.matchers {
            let label = matcher.split(['=', '!']).next().unwrap();
            // The reader may choose one of the labels of an account.
            let there =
                own.contains(&label) || LABELS_OF_PROMETHEUS.contains(&label) || label == "$label";
            if !there && known.is_some() {
                problems.push(format!("{} has no label `{label}`", selector.name));
            }
        }
    }
    for label in grouping(query) {
        if !labels.contains(label) {
            problems.push(format!("nothing has the label `{label}`"));
        }
    }
    problems
}

#[test]
fn dashboards_name_metrics_and_labels_that_exist() {
    for dashboard in dashboards() {
        for query in all_queries(&dashboard) {
            let problems = name_problems(query.text);
            assert_eq!(problems, Vec::<String>::new(), "{}", query.place);
        }
    }
}

#[test]
fn every_metric_is_on_a_dashboard_but_those_with_a_reason() {
    let dashboards: Vec<Value> = dashboards().collect();
    let all = dashboards.iter().flat_map(all_queries);
    let shown = all.flat_map(|query| words(query.text)).filter_map(metric);
    let shown: BTreeSet<&str> = shown.map(|metric| metric.name).collect();
    let rest: Vec<&str> = catalogue().iter().map(|metric| metric.name).collect();
    let rest: Vec<&str> = rest
        .into_iter()
        .filter(|name| !shown.contains(name))
        .collect();
    assert_eq!(rest, NOT_SHOWN.map(|(name, _)| name));
}

#[test]
fn a_wrong_name_is_noticed() {
    let dashboard = dashboards().next().unwrap();
    let place = "/panels/0/targets/0/expr";
    for (query, problem) in [
        (
            "sum(tencentcloud_cwp_gone{})",
            "`tencentcloud_cwp_gone` is no",
        ),
        ("a:gone:max{}", "`a:gone:max` is no"),
        (r#"tencentcloud_cwp_up{acount="a"}"#, "no label `acount`"),
        ("sum by (acount) (up{})", "has the label `acount`"),
        ("up{} and on (acount) up{}", "has the label `acount`"),
    ] {
        let broken = with(&dashboard, place, json!(query));
        let problems: Vec<String> = all_queries(&broken)
            .flat_map(|query| name_problems(query.text))
            .collect();
        assert!(
            problems.iter().any(|it| it.contains(problem)),
            "{problems:?}"
        );
    }
}
