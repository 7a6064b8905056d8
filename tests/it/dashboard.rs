//! The Grafana dashboard asks for metrics that exist, in a way that holds for many
//! instances and accounts, and a real Prometheus answers each of its queries.

use std::collections::BTreeSet;

use cwp_exporter::exposition::catalogue;
use serde_json::{Value, json};

use crate::harness::{Program, repository_file, within};
use crate::prometheus::Prometheus;

fn dashboard() -> Value {
    serde_json::from_str(&repository_file("grafana/licences.json")).unwrap()
}

/// The panels that show something: all but rows.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.filter(|panel| panel["type"] != "row").collect()
}

/// The queries of all panels.
fn queries(dashboard: &Value) -> Vec<&str> {
    let panels = panels(dashboard).into_iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    targets
        .map(|target| target["expr"].as_str().unwrap())
        .collect()
}

/// A text that says something.
fn says(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

fn is_name(each: char) -> bool {
    each.is_ascii_alphanumeric() || matches!(each, '_' | ':')
}

/// What is wrong with the selectors and ranges of a query.
fn query_problems(query: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let catalogue = catalogue();
    let mut selected = 0;
    for (at, _) in query.match_indices('{') {
        let before = query[..at].trim_end_matches(is_name);
        let name = &query[before.len()..at];
        let family = catalogue.iter().find(|metric| {
            let suffix = name.strip_prefix(metric.name);
            let part = matches!(suffix, Some("_bucket" | "_sum" | "_count"));
            suffix == Some("") || part && metric.kind.as_str() == "histogram"
        });
        let Some(family) = family else {
            problems.push(format!("`{name}` is no metric of ours"));
            continue;
        };
        selected += 1;
        let matchers = query[at..].split('}').next().unwrap();
        let account = family.labels.contains(&"account");
        let wanted = ["job", "instance"].into_iter();
        for label in wanted.chain(account.then_some("account")) {
            if !matchers.contains(&format!("{label}=~\"${label}\"")) {
                problems.push(format!("{name} is not selected by {label}"));
            }
        }
        let counts = name != family.name || family.kind.as_str() == "counter";
        if counts != before.ends_with("rate(") {
            problems.push(format!("a rate is for counters, and they for it: {name}"));
        }
    }
    // What has no braces was not looked at.
    let words = query.split(|each| !is_name(each));
    let ours = |word: &&str| word.starts_with("tencentcloud_") || word.starts_with("cwp_");
    if selected == 0 || words.filter(ours).count() != selected {
        problems.push("a metric is not selected".to_owned());
    }
    for range in query.split('[').skip(1) {
        if !range.starts_with("$__rate_interval]") {
            problems.push("a range is not $__rate_interval".to_owned());
        }
    }
    problems
}

/// What is wrong with a panel.
fn panel_problems(panel: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for key in ["title", "description"] {
        if !says(&panel[key]) {
            problems.push(format!("no {key}"));
        }
    }
    let defaults = &panel["fieldConfig"]["defaults"];
    let mapped = defaults["mappings"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    if !says(&defaults["unit"]) && !mapped {
        problems.push("no unit".to_owned());
    }
    let targets = panel["targets"].as_array().unwrap();
    if targets.is_empty() {
        problems.push("no queries".to_owned());
    }
    for each in [panel].into_iter().chain(targets) {
        if each["datasource"] != json!({"type": "prometheus", "uid": "${datasource}"}) {
            problems.push("a fixed data source".to_owned());
        }
    }
    let ids: BTreeSet<&str> = targets.iter().filter_map(|t| t["refId"].as_str()).collect();
    if ids.len() != targets.len() {
        problems.push("queries of the same refId".to_owned());
    }
    let expressions = targets.iter().map(|target| target["expr"].as_str());
    problems.extend(expressions.flat_map(|query| query_problems(query.unwrap())));
    problems
}

/// What is wrong with the variables.
fn variable_problems(dashboard: &Value) -> Vec<String> {
    let expected = [
        ("datasource", "Data source", "prometheus"),
        ("job", "Job", "label_values(tencentcloud_cwp_up, job)"),
        (
            "instance",
            "Instance",
            r#"label_values(tencentcloud_cwp_up{job=~"$job"}, instance)"#,
        ),
        (
            "account",
            "Account",
            r#"label_values(tencentcloud_cwp_up{job=~"$job", instance=~"$instance"}, account)"#,
        ),
    ];
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let mut problems = Vec::new();
    if variables.len() != expected.len() {
        problems.push("other variables".to_owned());
    }
    for (variable, (name, label, query)) in variables.iter().zip(expected) {
        let mut wanted = json!({"name": name, "label": label, "query": query});
        let rest = match name {
            "datasource" => json!({"type": "datasource"}),
            _ => json!({
                "type": "query", "multi": true, "includeAll": true, "allValue": ".+",
                "refresh": 2, "datasource": {"type": "prometheus", "uid": "${datasource}"},
            }),
        };
        let more = rest.as_object().unwrap().clone();
        wanted.as_object_mut().unwrap().extend(more);
        for (key, value) in wanted.as_object().unwrap() {
            if variable[key] != *value {
                problems.push(format!("{key} of the variable {name} is not {value}"));
            }
        }
    }
    problems
}

/// What is wrong with the dashboard.
fn problems(dashboard: &Value) -> Vec<String> {
    let mut problems = variable_problems(dashboard);
    for (key, value) in [
        ("id", json!(null)),
        ("uid", json!("tencentcloud-cwp-licences")),
        ("title", json!("Tencent Cloud CWP / Licences")),
        ("schemaVersion", json!(42)),
        ("editable", json!(false)),
        ("refresh", json!("1m")),
        ("time", json!({"from": "now-24h", "to": "now"})),
        ("tags", json!(["tencentcloud", "cwp", "prometheus"])),
    ] {
        if dashboard[key] != value {
            problems.push(format!("{key} is not {value}"));
        }
    }
    let all = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = all.iter().filter_map(|each| each["id"].as_u64()).collect();
    if ids.len() != all.len() {
        problems.push("panels of the same id".to_owned());
    }
    for panel in panels(dashboard) {
        let found = panel_problems(panel).into_iter();
        problems.extend(found.map(|problem| format!("{}: {problem}", panel["title"])));
    }
    problems
}

#[test]
fn nothing_is_wrong_with_the_dashboard() {
    let dashboard = dashboard();
    assert_eq!(problems(&dashboard), Vec::<String>::new());
    assert!(panels(&dashboard).len() >= 8);
}

#[test]
fn whatever_is_wrong_with_a_dashboard_is_noticed() {
    let whole = dashboard();
    let query = "/panels/0/targets/0/expr";
    let requests = whole["panels"].as_array().unwrap().len() - 1;
    let rate = format!("/panels/{requests}/targets/0/expr");
    let good = whole.pointer(query).unwrap().as_str().unwrap();
    let good_rate = whole.pointer(&rate).unwrap().as_str().unwrap();
    let without = |text: &str| json!(good.replace(text, ""));
    for (place, value, problem) in [
        ("/id", json!(7), "id is not"),
        ("/uid", json!("other"), "uid is not"),
        ("/title", json!("other"), "title is not"),
        ("/schemaVersion", json!(1), "schemaVersion is not"),
        ("/editable", json!(true), "editable is not"),
        ("/refresh", json!(""), "refresh is not"),
        ("/time/from", json!("now-1h"), "time is not"),
        ("/tags", json!([]), "tags is not"),
        ("/panels/0/id", json!(2), "same id"),
        ("/panels/0/title", json!(" "), "no title"),
        ("/panels/0/description", json!(""), "no description"),
        ("/panels/0/fieldConfig/defaults/unit", json!(""), "no unit"),
        ("/panels/0/targets", json!([]), "no queries"),
        ("/panels/0/datasource/uid", json!("a"), "a fixed data"),
        (
            "/panels/0/targets/0/datasource/uid",
            json!("a"),
            "a fixed data",
        ),
        ("/panels/6/targets/1/refId", json!("A"), "same refId"),
        (query, json!(good.replace("near", "far")), "no metric"),
        (query, without("job=~\"$job\", "), "by job"),
        (query, without("instance=~\"$instance\", "), "by instance"),
        (query, without(", account=~\"$account\""), "by account"),
        (query, json!("tencentcloud_cwp_up"), "not selected"),
        (query, json!("vector(0)"), "not selected"),
        (&rate, json!(good_rate.replace("rate(", "(")), "a rate is"),
        (
            &rate,
            json!(good_rate.replace("$__rate_interval", "5m")),
            "a range",
        ),
        (
            "/templating/list/0/label",
            json!("Source"),
            "label of the variable",
        ),
        (
            "/templating/list/1/refresh",
            json!(1),
            "refresh of the variable",
        ),
        (
            "/templating/list/2/multi",
            json!(false),
            "multi of the variable",
        ),
        (
            "/templating/list/2/includeAll",
            json!(false),
            "includeAll of",
        ),
        ("/templating/list/3/allValue", json!(".*"), "allValue of"),
        ("/templating/list/3/query", json!("up"), "query of the"),
        ("/templating/list/3/name", json!("a"), "name of the"),
        ("/templating/list", json!([]), "other variables"),
    ] {
        let mut broken = whole.clone();
        *broken.pointer_mut(place).unwrap() = value;
        assert_ne!(broken, whole, "{place} was not changed");
        let found = problems(&broken);
        let noticed = found.iter().any(|each| each.contains(problem));
        assert!(noticed, "{place}: no `{problem}` in {found:?}");
    }
}

/// A query with every variable replaced, as Grafana does it when all is selected.
fn filled_in(query: &str) -> String {
    let query = query.replace("$__rate_interval", "1m");
    ["$job", "$instance", "$account"]
        .iter()
        .fold(query, |query, variable| query.replace(variable, ".+"))
}

#[tokio::test]
async fn prometheus_has_an_answer_to_every_query_about_the_demo() {
    let mut demo = Program::start(&["demo", "--web.listen-address=127.0.0.1:0"], &[]);
    let prometheus = Prometheus::scraping(&demo.url().await).await;
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    // What `label_values` asks for, as a query.
    let variables = variables.filter_map(|variable| {
        let inside = variable["query"].as_str()?.strip_prefix("label_values(")?;
        let (selector, label) = inside.strip_suffix(')')?.rsplit_once(", ")?;
        Some(format!("count by ({label}) ({selector})"))
    });
    let queries = queries(&dashboard).into_iter().map(str::to_owned);
    let queries: Vec<String> = queries.chain(variables).collect();
    assert!(queries.len() > 12, "{queries:?}");
    for query in queries {
        let query = filled_in(&query);
        assert!(!query.contains('$'), "{query}");
        within(&format!("data for {query}"), async {
            while prometheus.query(&query).await.is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}
