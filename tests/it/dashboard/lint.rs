//! The rules of Grafana's dashboard-linter that concern Prometheus, under its names. What
//! `grafana/.lint` excludes is meant as it is, here and there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::metrics::metric;
use super::query::{filled_in, selectors};
use super::{
    chosen_source, dashboards, items, listing, panel_queries, panels, query_variables, says, with,
};
use crate::harness::repository_file;
use crate::prometheus::promtool;

/// What a rule finds: the panel, if it is one, and what is wrong.
type Findings = Vec<(String, String)>;

/// A dashboard and what promtool cannot parse of it.
struct Linted<'a> {
    dashboard: &'a Value,
    invalid: BTreeSet<String>,
}

type Rule = (&'static str, fn(&Linted) -> Findings);

const RULES: [Rule; 15] = [
    ("template-datasource-rule", template_datasource),
    ("template-job-rule", |linted| template(linted, "job", "Job")),
    ("template-instance-rule", |linted| {
        template(linted, "instance", "Instance")
    }),
    ("template-label-promql-rule", template_label_promql),
    ("template-on-time-change-reload-rule", template_reload),
    ("panel-datasource-rule", panel_datasource),
    ("panel-title-description-rule", panel_title_description),
    ("panel-units-rule", panel_units),
    ("panel-no-targets-rule", panel_targets),
    ("target-promql-rule", target_promql),
    ("target-rate-interval-rule", target_rate_interval),
    ("target-job-rule", |linted| target_matcher(linted, "job")),
    ("target-instance-rule", |linted| {
        target_matcher(linted, "instance")
    }),
    ("target-counter-agg-rule", target_counter),
    ("uneditable-dashboard", uneditable),
];

/// The units of the linter's list that the dashboards use.
const UNITS: [&str; 9] = [
    "bool_on_off",
    "bytes",
    "dateTimeAsIso",
    "dateTimeFromNow",
    "dthms",
    "none",
    "percentunit",
    "reqps",
    "s",
];

/// A finding about the dashboard as a whole, unless all is well.
fn unless(good: bool, problem: &str) -> Findings {
    if good {
        return Vec::new();
    }
    vec![(String::new(), problem.to_owned())]
}

/// A finding for each panel for which `problem` has one.
fn each_panel(linted: &Linted, problem: impl Fn(&Value) -> Option<String>) -> Findings {
    let panels = panels(linted.dashboard).map(|panel| (panel["title"].clone(), problem(panel)));
    let found = panels.filter_map(|(title, problem)| Some((title, problem?)));
    found
        .map(|(title, problem)| (title.as_str().unwrap_or_default().to_owned(), problem))
        .collect()
}

/// A finding for each panel's query for which `problem` has one.
fn each_query(linted: &Linted, problem: impl Fn(&str) -> Option<String>) -> Findings {
    each_panel(linted, |panel| {
        let queries = items(&panel["targets"]).filter_map(|target| target["expr"].as_str());
        queries.filter_map(&problem).next()
    })
}

fn variable<'a>(linted: &'a Linted, name: &str) -> &'a Value {
    let mut all = items(&linted.dashboard["templating"]["list"]);
    all.find(|variable| variable["name"] == name)
        .unwrap_or(&Value::Null)
}

fn template_datasource(linted: &Linted) -> Findings {
    let found = variable(linted, "datasource");
    let good = found["type"] == "datasource"
        && found["query"] == "prometheus"
        && found["label"] == "Data source";
    unless(good, "no variable for the data source")
}

fn template(linted: &Linted, name: &str, label: &str) -> Findings {
    let found = variable(linted, name);
    let good = found["type"] == "query"
        && found["datasource"] == chosen_source()
        && found["label"] == label
        && found["multi"] == true
        && found["allValue"] == ".+";
    unless(good, "no such variable for several values")
}

fn template_label_promql(linted: &Linted) -> Findings {
    let good = query_variables(linted.dashboard)
        .all(|variable| listing(variable).is_some_and(|query| !linted.invalid.contains(&query)));
    unless(good, "a variable without a valid query")
}

fn template_reload(linted: &Linted) -> Findings {
    let good = query_variables(linted.dashboard).all(|variable| variable["refresh"] == 2);
    unless(good, "a variable that is not read anew with the range")
}

fn panel_datasource(linted: &Linted) -> Findings {
    each_panel(linted, |panel| {
        let mut all = items(&panel["targets"]).chain([panel]);
        let fixed = all.any(|each| each["datasource"] != chosen_source());
        fixed.then(|| "a fixed data source".to_owned())
    })
}

fn panel_title_description(linted: &Linted) -> Findings {
    each_panel(linted, |panel| {
        let good = says(&panel["title"]) && says(&panel["description"]);
        (!good).then(|| "no title or no description".to_owned())
    })
}

fn panel_units(linted: &Linted) -> Findings {
    each_panel(linted, |panel| {
        let overrides = items(&panel["fieldConfig"]["overrides"])
            .flat_map(|each| items(&each["properties"]))
            .filter(|property| property["id"] == "unit")
            .map(|property| &property["value"]);
        let mut units = overrides.chain([&panel["fieldConfig"]["defaults"]["unit"]]);
        let odd = units.find(|unit| !unit.as_str().is_some_and(|unit| UNITS.contains(&unit)));
        odd.map(|unit| format!("{unit} is no unit"))
    })
}

fn panel_targets(linted: &Linted) -> Findings {
    each_panel(linted, |panel| {
        let empty = items(&panel["targets"]).next().is_none();
        empty.then(|| "no queries".to_owned())
    })
}

fn target_promql(linted: &Linted) -> Findings {
    each_query(linted, |query| {
        let invalid = query.is_empty() || linted.invalid.contains(query);
        invalid.then(|| format!("promtool cannot parse {query}"))
    })
}

fn target_rate_interval(linted: &Linted) -> Findings {
    each_query(linted, |query| {
        let mut rates = selectors(query).into_iter();
        let other = rates.find(|it| it.function == "rate" && it.range != "$__rate_interval");
        other.map(|it| format!("rate of {} over {}", it.name, it.range))
    })
}

fn target_matcher(linted: &Linted, label: &str) -> Findings {
    let matcher = format!("{label}=~\"${label}\"");
    each_query(linted, |query| {
        let mut selectors = selectors(query).into_iter();
        let other = selectors.find(|it| !it.matchers.contains(&matcher.as_str()));
        other.map(|it| format!("{} is not selected by {label}", it.name))
    })
}

fn target_counter(linted: &Linted) -> Findings {
    each_query(linted, |query| {
        let mut selectors = selectors(query).into_iter();
        let other = selectors.find(|it| {
            let counts = metric(it.name)
                .is_some_and(|metric| metric.name != it.name || metric.kind.as_str() == "counter");
            counts != matches!(it.function, "rate" | "increase")
        });
        other.map(|it| format!("a rate is for counters, and they for it: {}", it.name))
    })
}

fn uneditable(linted: &Linted) -> Findings {
    unless(linted.dashboard["editable"] == false, "it can be edited")
}

/// The queries of the dashboard that promtool cannot parse.
async fn invalid(dashboard: &Value) -> BTreeSet<String> {
    let panels = panel_queries(dashboard).map(|query| query.text.to_owned());
    let variables = query_variables(dashboard).filter_map(listing);
    let queries: BTreeSet<String> = panels.chain(variables).collect();
    let rules: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(number, query)| json!({"record": format!("q:{number}:"), "expr": filled_in(query)}))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    // JSON is YAML.
    let text = json!({"groups": [{"name": "queries", "rules": rules}]}).to_string();
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let (good, words) = promtool(&["check", "rules", "--lint=none", file], "").await;
    let numbered = queries.iter().enumerate();
    let found: BTreeSet<String> = numbered
        .filter(|(number, _)| words.contains(&format!("\"q:{number}:\"")))
        .map(|(_, query)| query.clone())
        .collect();
    assert_eq!(good, found.is_empty(), "{words}");
    found
}

/// What the rules find, each as `rule: panel: problem`, without what is excluded.
async fn lint(dashboard: &Value) -> Vec<String> {
    let exclusions: Value = serde_saphyr::from_str(&repository_file("grafana/.lint")).unwrap();
    let linted = Linted {
        dashboard,
        invalid: invalid(dashboard).await,
    };
    let mut problems = Vec::new();
    for (name, rule) in RULES {
        let excluded = items(&exclusions["exclusions"][name]["entries"]);
        let excluded = excluded.filter(|each| each["dashboard"] == dashboard["title"]);
        let mut unused: BTreeSet<&str> = excluded.filter_map(|it| it["panel"].as_str()).collect();
        let meant = unused.clone();
        for (panel, problem) in rule(&linted) {
            unused.remove(panel.as_str());
            if !meant.contains(panel.as_str()) {
                problems.push(format!("{name}: {panel}: {problem}"));
            }
        }
        let unused = unused.iter();
        problems.extend(unused.map(|panel| format!("{name}: {panel}: excluded for nothing")));
    }
    problems
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn the_linter_finds_nothing() {
    for dashboard in dashboards() {
        assert_eq!(lint(&dashboard).await, Vec::<String>::new());
    }
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn each_rule_of_the_linter_finds_what_it_is_for() {
    let whole = dashboards().next().unwrap();
    let query = "/panels/0/targets/0/expr";
    let good = whole.pointer(query).unwrap().as_str().unwrap();
    let requests = r#"cwp_exporter_api_requests_total{job=~"$job", instance=~"$instance"}"#;
    let broken = [
        ("/templating/list/0/query", json!("loki")),
        ("/templating/list/3/multi", json!(false)),
        ("/templating/list/4/allValue", json!(".*")),
        ("/templating/list/7/query", json!("label_values(up{, job)")),
        ("/templating/list/7/refresh", json!(1)),
        ("/panels/0/targets/0/datasource/uid", json!("a")),
        ("/panels/0/description", json!(" ")),
        ("/panels/0/fieldConfig/defaults/unit", json!("furlong")),
        ("/panels/0/targets", json!([])),
        (query, json!(format!("{good})"))),
        (query, json!(format!("rate({requests}[5m])"))),
        (query, json!(good.replace(r#"job=~"$job", "#, ""))),
        (query, json!(good.replace(r#"instance=~"$instance", "#, ""))),
        (query, json!(requests)),
        ("/editable", json!(true)),
    ];
    for ((name, _), (place, value)) in RULES.into_iter().zip(broken) {
        let found = lint(&with(&whole, place, value)).await;
        let rules: Vec<&str> = found.iter().filter_map(|it| it.split(':').next()).collect();
        assert_eq!(rules, [name], "{found:?}");
    }
}
