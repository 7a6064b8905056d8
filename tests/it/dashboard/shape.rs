//! What else makes a dashboard good: it lies about nothing, fits its page, and leads on.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::metrics::metric;
use super::query::selectors;
use super::{NAMES, dashboard, dashboards, items, panel_queries, panels, says, with};

/// What a panel calls its columns, its series or its one value.
fn captions(panel: &Value) -> BTreeSet<&str> {
    let transformations = items(&panel["transformations"]);
    let columns = transformations.filter_map(|it| it["options"]["renameByName"].as_object());
    let columns = columns.flatten().filter_map(|(_, title)| title.as_str());
    let series = items(&panel["targets"]).filter_map(|it| it["legendFormat"].as_str());
    columns.chain(series).collect()
}

/// What is wrong with how a panel asks and with what it calls the answers.
fn panel_problems(panel: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let kind = panel["type"].as_str().unwrap();
    let captions = captions(panel);
    for target in items(&panel["targets"]) {
        // Over a range, the last value may be one from before the data ended.
        let instant = kind != "timeseries";
        if target["instant"] != instant || target["range"] == instant {
            problems.push("what is known now is asked of a range, or a range of now".to_owned());
        }
        // Then a rate holds for the scrape interval that is Prometheus' default, whatever the
        // data source says: `$__rate_interval` is four times this.
        let rate = target["expr"].to_string().contains("$__rate_interval");
        if rate != (target["interval"] == "1m") {
            problems.push("a rate is over less than two scrapes".to_owned());
        }
        let named = match kind {
            "timeseries" | "bargauge" => says(&target["legendFormat"]),
            "table" => target["format"] == "table",
            _ => kind == "stat",
        };
        if !named {
            problems.push("a series is called by the name of its metric".to_owned());
        }
    }
    if !says(&panel["fieldConfig"]["defaults"]["noValue"]) {
        problems.push("nothing is said where there is no value".to_owned());
    }
    let steps = &panel["fieldConfig"]["defaults"]["thresholds"]["steps"];
    let unknown = &steps[0]["color"];
    if matches!(kind, "stat" | "bargauge") && unknown != "#808080" {
        problems.push("what is unknown looks good or bad".to_owned());
    }
    let edition = |name: &str| captions.contains("{{edition}}") && !name.contains(' ');
    // Otherwise each empty cell would say what is said of an empty table.
    let cells = json!({
        "matcher": {"id": "byRegexp", "options": "/.*/"},
        "properties": [{"id": "noValue", "value": "–"}],
    });
    let overrides = &panel["fieldConfig"]["overrides"];
    if kind == "table" && overrides[0] != cells {
        problems.push("nothing is said of an empty cell".to_owned());
    }
    let named = items(overrides).filter(|it| it["matcher"]["id"] == "byName");
    for name in named.filter_map(|it| it["matcher"]["options"].as_str()) {
        if !captions.contains(name) && !edition(name) {
            problems.push(format!("an override is for `{name}`, which is not there"));
        }
    }
    for name in items(&panel["options"]["sortBy"]).filter_map(|it| it["displayName"].as_str()) {
        if !captions.contains(name) {
            problems.push(format!("sorted by `{name}`, which is not there"));
        }
    }
    problems
}

/// What is wrong with the queries' choice of accounts.
fn account_problems(dashboard: &Value) -> Vec<String> {
    let chosen = r#"account=~"$account""#;
    let mut problems = Vec::new();
    for query in panel_queries(dashboard) {
        for selector in selectors(query.text) {
            let has_account =
                metric(selector.name).is_some_and(|it| it.labels.contains(&"account"));
            if has_account != selector.matchers.contains(&chosen)
                && !selector.name.starts_with("ALERTS")
            {
                problems.push(format!("{}: not the chosen accounts", query.place));
            }
        }
    }
    problems
}

/// What is wrong with the places of the panels: 24 columns, none above another.
fn grid_problems(dashboard: &Value) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut problems = Vec::new();
    for panel in items(&dashboard["panels"]) {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|it| panel["gridPos"][it].as_u64().unwrap());
        let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        if x + w > 24 || cells.filter(|cell| !taken.insert(*cell)).count() > 0 {
            problems.push(format!("{}: another panel's place", panel["title"]));
        }
    }
    let rows = taken.iter().map(|(_, y)| y + 1).max().unwrap_or_default();
    if taken.len() as u64 != 24 * rows {
        problems.push("holes between the panels".to_owned());
    }
    problems
}

/// The links of dashboard and panels.
fn links(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("url").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|each| links(each, found));
        }
        Value::Array(list) => list.iter().for_each(|each| links(each, found)),
        _ => {}
    }
}

/// What is wrong with the links: they lead to our dashboards, from each account to itself.
fn link_problems(dashboard: &Value) -> Vec<String> {
    let mut urls = Vec::new();
    links(dashboard, &mut urls);
    let mut problems = Vec::new();
    for url in &urls {
        let uid = url.strip_prefix("/d/").and_then(|it| it.split('?').next());
        let ours = uid.is_some_and(|uid| {
            let uid = uid.strip_suffix("-zh").unwrap_or(uid);
            uid.strip_prefix("cwp-")
                .is_some_and(|name| NAMES.contains(&name))
        });
        if !ours {
            problems.push(format!("a link to {url}"));
        }
    }
    for panel in panels(dashboard).filter(|panel| captions(panel).contains("Account")) {
        let mut urls = Vec::new();
        let mut overrides = items(&panel["fieldConfig"]["overrides"]);
        if let Some(account) = overrides.find(|it| it["matcher"]["options"] == "Account") {
            links(account, &mut urls);
        }
        if !urls
            .iter()
            .any(|it| it.contains("?var-account=${__value.raw:percentencode}&"))
        {
            problems.push(format!("{}: its accounts lead nowhere", panel["title"]));
        }
    }
    problems
}

/// What is wrong with the dashboard called `name`.
fn problems(name: &str, dashboard: &Value) -> Vec<String> {
    let mut problems = account_problems(dashboard);
    problems.extend(grid_problems(dashboard));
    problems.extend(link_problems(dashboard));
    for (key, value) in [
        ("id", json!(null)),
        ("uid", json!(format!("cwp-{name}"))),
        ("schemaVersion", json!(42)),
        ("refresh", json!("1m")),
        ("time", json!({"from": "now-24h", "to": "now"})),
        ("tags", json!(["tencentcloud", "cwp", "prometheus"])),
    ] {
        if dashboard[key] != value {
            problems.push(format!("{key} is not {value}"));
        }
    }
    let variables = items(&dashboard["templating"]["list"]);
    let variables: Vec<&Value> = variables.map(|variable| &variable["name"]).collect();
    if variables != ["datasource", "job", "instance", "account"] {
        problems.push(format!("the variables are {variables:?}"));
    }
    let all = items(&dashboard["panels"]);
    let ids: Vec<u64> = all.filter_map(|panel| panel["id"].as_u64()).collect();
    let unique: BTreeSet<&u64> = ids.iter().collect();
    if unique.len() != items(&dashboard["panels"]).count() {
        problems.push("panels of the same id".to_owned());
    }
    let annotations = items(&dashboard["annotations"]["list"]);
    let annotations: Vec<&Value> = annotations.map(|annotation| &annotation["name"]).collect();
    if annotations != ["Alerts", "Restarts"] {
        problems.push(format!("the annotations are {annotations:?}"));
    }
    for panel in panels(dashboard) {
        let found = panel_problems(panel).into_iter();
        problems.extend(found.map(|problem| format!("{}: {problem}", panel["title"])));
    }
    problems
}

#[test]
fn the_dashboards_are_well_made() {
    for (name, dashboard) in NAMES.into_iter().zip(dashboards()) {
        assert_eq!(problems(name, &dashboard), Vec::<String>::new());
    }
}

#[test]
fn whatever_is_badly_made_is_noticed() {
    let whole = dashboard("licences");
    let place = |kind: &str, rest: &str| {
        let mut all = items(&whole["panels"]);
        let at = all.position(|panel| panel["type"] == kind).unwrap();
        format!("/panels/{at}{rest}")
    };
    let table = |rest: &str| place("table", rest);
    for (place, value, problem) in [
        ("/uid".to_owned(), json!("other"), "uid is not"),
        ("/id".to_owned(), json!(7), "id is not"),
        ("/refresh".to_owned(), json!(""), "refresh is not"),
        ("/time/from".to_owned(), json!("now-1h"), "time is not"),
        ("/tags".to_owned(), json!([]), "tags is not"),
        ("/schemaVersion".to_owned(), json!(1), "schemaVersion is"),
        ("/templating/list/3".to_owned(), json!({}), "the variables"),
        ("/annotations/list".to_owned(), json!([]), "the annotations"),
        ("/panels/0/id".to_owned(), json!(2), "same id"),
        ("/panels/0/gridPos/x".to_owned(), json!(1), "another panel"),
        ("/panels/0/gridPos/h".to_owned(), json!(3), "holes"),
        ("/links/0/url".to_owned(), json!("/d/other"), "a link to"),
        (
            "/panels/0/targets/0/instant".to_owned(),
            json!(false),
            "of a range",
        ),
        (
            "/panels/0/targets/0/expr".to_owned(),
            json!("rate(up{}[$__rate_interval])"),
            "less than two scrapes",
        ),
        (
            place("timeseries", "/targets/0/range"),
            json!(false),
            "of a range",
        ),
        (
            place("timeseries", "/targets/0/legendFormat"),
            json!(""),
            "name of its metric",
        ),
        (
            table("/targets/0/format"),
            json!("time_series"),
            "name of its metric",
        ),
        (
            table("/fieldConfig/defaults/noValue"),
            json!(""),
            "nothing is said",
        ),
        (
            place("stat", "/fieldConfig/defaults/thresholds/steps/0/color"),
            json!("green"),
            "unknown looks",
        ),
        (
            table("/fieldConfig/overrides/1/matcher/options"),
            json!("Acount"),
            "an override is for",
        ),
        (
            table("/fieldConfig/overrides/1/properties"),
            json!([]),
            "lead nowhere",
        ),
        (
            table("/fieldConfig/overrides/0/properties"),
            json!([]),
            "of an empty cell",
        ),
        (
            table("/options/sortBy/0/displayName"),
            json!("Acount"),
            "sorted by",
        ),
        (
            "/panels/0/targets/0/expr".to_owned(),
            json!("tencentcloud_cwp_up{}"),
            "chosen accounts",
        ),
    ] {
        let found = problems("licences", &with(&whole, &place, value));
        let noticed = found.iter().any(|each| each.contains(problem));
        assert!(noticed, "{place}: no `{problem}` in {found:?}");
    }
}
