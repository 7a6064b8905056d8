//! What else makes a dashboard good: it lies about nothing, fits its page, and leads on.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::metrics::metric;
use super::query::{MADE, lists_after, selectors};
use super::{
    NAMES, all_panels, dashboard, dashboards, items, listing, panel_queries, panels, queries,
    query_variables, says, with,
};

/// What tells a series of one exporter from those of another. It comes first wherever series
/// are grouped or joined.
const IDENTITY: &str = "cluster, namespace, job";

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
            "table" | "barchart" => target["format"] == "table",
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
        if !captions.contains(name) {
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
            let has_account = selector.name.contains("_account:")
                || metric(selector.name).is_some_and(|it| it.labels.contains(&"account"));
            if has_account != selector.matchers.contains(&chosen)
                && !selector.name.starts_with("ALERTS")
            {
                problems.push(format!("{}: not the chosen accounts", query.place));
            }
        }
    }
    problems
}

/// What is wrong with the lists of labels by which series are grouped and joined.
fn identity_problems(dashboard: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for query in queries(dashboard) {
        for start in ["by (", "on (", "sum without (", "count without ("] {
            let mut lists = lists_after(query.text, start).into_iter();
            // One series is joined with one by no label. What is grouped by a label that the
            // query makes is a number over all that is chosen.
            let apart = |it: &&str| it.is_empty() || MADE.contains(it) || it.starts_with(IDENTITY);
            if let Some(list) = lists.find(|it| !apart(it)) {
                problems.push(format!("{}: {start}{list}) mixes exporters", query.place));
            }
        }
    }
    problems
}

/// What is wrong with how much the browser gets at first: rows by account have to be few, or be
/// those of a variable that has few values.
fn first_view_problems(dashboard: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for panel in items(&dashboard["panels"]).filter(|panel| panel["type"] == "table") {
        let by_account = captions(panel).contains("Account");
        let mut queries = items(&panel["targets"]).map(|target| target["expr"].as_str().unwrap());
        let few = [
            "topk(",
            "bottomk(",
            "=~\"$due_orders\"",
            "=~\"$next_orders\"",
            "=~\"$failing\"",
        ];
        if by_account && !queries.all(|it| few.iter().any(|few| it.contains(few))) {
            problems.push(format!("{}: a row for each account", panel["title"]));
        }
    }
    problems
}

/// What is wrong with the places of the panels: 24 columns, none above another. Those of a
/// closed row follow it when it is opened.
fn grid_problems(dashboard: &Value) -> Vec<String> {
    let mut problems = area_problems(&dashboard["panels"], 0);
    for row in items(&dashboard["panels"]).filter(|panel| panel["collapsed"] == true) {
        let start = row["gridPos"]["y"].as_u64().unwrap() + 1;
        problems.extend(area_problems(&row["panels"], start));
    }
    problems
}

/// The same of panels that are to fill the area from the row `start` on.
fn area_problems(panels: &Value, start: u64) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut problems = Vec::new();
    for panel in items(panels) {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|it| panel["gridPos"][it].as_u64().unwrap());
        let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        if x + w > 24 || cells.filter(|cell| !taken.insert(*cell)).count() > 0 {
            problems.push(format!("{}: another panel's place", panel["title"]));
        }
    }
    let rows = taken.iter().map(|(_, y)| y + 1).max().unwrap_or_default();
    if taken.len() as u64 != 24 * (rows - start) {
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
    // By the tag, so that the link leads to copies and to what is installed, and to no other.
    let link = &dashboard["links"][0];
    if link["type"] != "dashboards" || link["tags"] != json!(["cwp-exporter"]) {
        problems.push("no link to the dashboards of this tag".to_owned());
    }
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

/// What is wrong with the variables: in this order, then those of this dashboard, then those that
/// rank accounts and orders.
fn variable_problems(dashboard: &Value, own: &[&str], ranked: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    let all = items(&dashboard["templating"]["list"]);
    let names: Vec<&Value> = all.map(|variable| &variable["name"]).collect();
    let first = [
        "datasource",
        "cluster",
        "namespace",
        "job",
        "instance",
        "label",
        "value",
        "account",
    ];
    if names != [&first[..], own, ranked].concat() {
        problems.push(format!("the variables are {names:?}"));
    }
    for variable in query_variables(dashboard) {
        let name = variable["name"].as_str().unwrap();
        // Most people have one cluster and one namespace, and nobody chooses a rank.
        let hidden = ["cluster", "namespace"].contains(&name) || ranked.contains(&name);
        if variable["hide"] != if hidden { 2 } else { 0 } {
            problems.push(format!("{name} is hidden, or is not"));
        }
        // A series without the label is there too.
        let may_be_absent = ["cluster", "namespace", "value"].contains(&name);
        if may_be_absent && variable["allValue"] != ".*" {
            problems.push(format!("all of {name} are only those that have it"));
        }
        if ranked.contains(&name) {
            let few = listing(variable).is_some_and(|it| match name {
                "due_orders" | "next_orders" => it.contains("bottomk(100, "),
                "failing" => it.contains("topk(100, "),
                _ => it.contains("topk(10, ") || it.contains("bottomk(10, "),
            });
            // Without a value of its own, All is the list of them.
            if !few || !variable["allValue"].is_null() {
                problems.push(format!("{name} are not the first few"));
            }
        }
    }
    problems
}

/// What is wrong with the dashboard called `name`.
fn problems(name: &str, dashboard: &Value) -> Vec<String> {
    let mut problems = account_problems(dashboard);
    problems.extend(identity_problems(dashboard));
    problems.extend(first_view_problems(dashboard));
    problems.extend(grid_problems(dashboard));
    problems.extend(link_problems(dashboard));
    // Licences move in weeks, the exporter in hours.
    let (start, refresh, own, ranked, marks) = match name {
        "licences" => (
            "now-30d",
            "5m",
            &["edition"][..],
            &[
                "due_orders",
                "next_orders",
                "most_near_expiry",
                "fewest_available",
                "most_used",
            ][..],
            &["Alerts"][..],
        ),
        _ => (
            "now-24h",
            "1m",
            &[][..],
            &["failing", "oldest", "slowest"][..],
            &["Alerts", "Restarts"][..],
        ),
    };
    for (key, value) in [
        ("id", json!(null)),
        ("uid", json!(format!("cwp-{name}"))),
        // What Grafana 10.3 writes. Newer ones bring it up to date as they load it.
        ("schemaVersion", json!(39)),
        ("refresh", json!(refresh)),
        ("time", json!({"from": start, "to": "now"})),
        (
            "tags",
            json!(["tencentcloud", "cwp", "prometheus", "cwp-exporter"]),
        ),
    ] {
        if dashboard[key] != value {
            problems.push(format!("{key} is not {value}"));
        }
    }
    problems.extend(variable_problems(dashboard, own, ranked));
    let ids = all_panels(dashboard).filter_map(|panel| panel["id"].as_u64());
    let unique: BTreeSet<u64> = ids.collect();
    if unique.len() != all_panels(dashboard).count() {
        problems.push("panels of the same id".to_owned());
    }
    let annotations = items(&dashboard["annotations"]["list"]);
    let annotations: Vec<&Value> = annotations.map(|annotation| &annotation["name"]).collect();
    if annotations != marks {
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
        ("/time/from".to_owned(), json!("now-24h"), "time is not"),
        ("/tags".to_owned(), json!([]), "tags is not"),
        ("/schemaVersion".to_owned(), json!(1), "schemaVersion is"),
        ("/templating/list/3".to_owned(), json!({}), "the variables"),
        (
            "/templating/list/1/hide".to_owned(),
            json!(0),
            "cluster is hidden, or is not",
        ),
        (
            "/templating/list/1/allValue".to_owned(),
            json!(".+"),
            "all of cluster are only",
        ),
        (
            "/templating/list/10/allValue".to_owned(),
            json!(".+"),
            "next_orders are not the first few",
        ),
        (
            "/templating/list/11/query".to_owned(),
            json!("query_result(tencentcloud_cwp_up{})"),
            "most_near_expiry are not the first few",
        ),
        ("/annotations/list".to_owned(), json!([]), "the annotations"),
        ("/panels/0/id".to_owned(), json!(2), "same id"),
        ("/panels/0/gridPos/x".to_owned(), json!(1), "another panel"),
        ("/panels/0/gridPos/h".to_owned(), json!(1), "holes"),
        ("/links/0/tags".to_owned(), json!([]), "no link to"),
        (
            table("/fieldConfig/overrides/1/properties/0/value/0/url"),
            json!("/d/other"),
            "a link to",
        ),
        (
            table("/targets/0/expr"),
            json!("tencentcloud_cwp_up{account=~\"$account\"}"),
            "a row for each account",
        ),
        (
            "/panels/0/targets/0/expr".to_owned(),
            json!("max by (account) (up{})"),
            "mixes exporters",
        ),
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
