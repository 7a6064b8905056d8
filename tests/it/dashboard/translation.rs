//! The dashboards in Chinese are made from those in English and `grafana/zh.yml`. After a
//! change, `UPDATE_EXPECT=1 cargo test --test it dashboard::translation` writes them.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect_file;
use serde_json::{Map, Value, json};

use super::{NAMES, dashboard, items, panels, queries};
use crate::harness::{repository_file, repository_path};

/// Keys whose texts people read.
const READ: &[&str] = &[
    "description",
    "label",
    "legendFormat",
    "noValue",
    "text",
    "textFormat",
    "title",
    "titleFormat",
    "tooltip",
];

/// Keys whose texts are for programs.
const NOT_READ: &[&str] = &[
    "allValue",
    "alias",
    "align",
    "axisPlacement",
    "calcs",
    "cellHeight",
    "color",
    "colorMode",
    "datasource",
    "definition",
    "displayMode",
    "drawStyle",
    "editorMode",
    "expr",
    "field",
    "fields",
    "fixedColor",
    "format",
    "from",
    "gradientMode",
    "graphMode",
    "group",
    "icon",
    "iconColor",
    "id",
    "interval",
    "justifyMode",
    "left",
    "lineInterpolation",
    "match",
    "mode",
    "name",
    "namePlacement",
    "operator",
    "orientation",
    "pattern",
    "placement",
    "query",
    "refId",
    "refresh",
    "regex",
    "renamePattern",
    "right",
    "showPoints",
    "showValue",
    "sizing",
    "sort",
    "stacking",
    "step",
    "tagKeys",
    "tags",
    "textMode",
    "timezone",
    "to",
    "type",
    "uid",
    "unit",
    "valueDisplayMode",
    "valueMode",
    "weekStart",
    "xField",
];

/// English to Chinese, and what of it was used.
struct Dictionary {
    texts: BTreeMap<String, String>,
    used: BTreeSet<String>,
    problems: Vec<String>,
}

impl Dictionary {
    fn new() -> Self {
        Self {
            texts: serde_saphyr::from_str(&repository_file("grafana/zh.yml")).unwrap(),
            used: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    /// The Chinese of a text. One without letters, but for labels in braces, stays.
    fn text(&mut self, english: &str) -> String {
        let outside = english
            .split("{{")
            .filter_map(|part| part.split("}}").last());
        let mut outside = outside.flat_map(str::chars);
        if english == "$1" || !outside.any(char::is_alphabetic) {
            return english.to_owned();
        }
        self.used.insert(english.to_owned());
        self.texts.get(english).cloned().unwrap_or_else(|| {
            self.problems.push(format!("zh.yml has no `{english}`"));
            String::new()
        })
    }

    /// The Chinese of a caption that is referred to, unless it is a name.
    fn reference(&mut self, text: &str) -> String {
        self.texts
            .get(text)
            .cloned()
            .unwrap_or_else(|| text.to_owned())
    }

    fn value(&mut self, key: &str, value: &Value) -> Value {
        match value {
            Value::Array(list) => list.iter().map(|each| self.value(key, each)).collect(),
            Value::Object(map) => Value::Object(self.map(key, map)),
            Value::String(text) => json!(self.string(key, text)),
            other => other.clone(),
        }
    }

    fn string(&mut self, key: &str, text: &str) -> String {
        match key {
            "uid" if text.starts_with("cwp-") => format!("{text}-zh"),
            "url" => other_language(text),
            // An override and an order refer to a caption by what it is in this language.
            "options" | "displayName" => self.reference(text),
            _ if READ.contains(&key) => self.text(text),
            _ if NOT_READ.contains(&key) => text.to_owned(),
            _ => {
                self.problems
                    .push(format!("is `{key}: {text}` for people?"));
                String::new()
            }
        }
    }

    fn map(&mut self, key: &str, map: &Map<String, Value>) -> Map<String, Value> {
        let property = map.get("id").and_then(Value::as_str);
        let changed = map.iter().map(|(inner, value)| {
            let value = match (key, inner.as_str()) {
                // What a variable is set to at first.
                (_, "current") => value.clone(),
                ("renameByName", _) => self.value("title", value),
                ("list", "name") if map.contains_key("iconColor") => self.value("title", value),
                ("properties", "value") if property == Some("displayName") => {
                    self.value("title", value)
                }
                ("properties", "value") if property == Some("noValue") => {
                    self.value("title", value)
                }
                ("properties", "value") if value.is_string() => value.clone(),
                _ => self.value(inner, value),
            };
            (inner.clone(), value)
        });
        changed.collect()
    }
}

/// The link to the same dashboard in Chinese, or in English if it is to the Chinese one.
fn other_language(url: &str) -> String {
    let (path, rest) = url
        .split_once('?')
        .map_or((url, String::new()), |(path, rest)| {
            (path, format!("?{rest}"))
        });
    match path.strip_suffix("-zh") {
        Some(path) => format!("{path}{rest}"),
        None => format!("{path}-zh{rest}"),
    }
}

/// A dashboard as it is written: the keys in the order of the alphabet, as Grafana does it.
fn written(dashboard: &Value) -> String {
    serde_json::to_string_pretty(dashboard).unwrap() + "\n"
}

#[test]
fn the_files_are_what_is_made_of_the_english_dashboards() {
    let mut dictionary = Dictionary::new();
    let english = NAMES.map(dashboard);
    let chinese = english
        .each_ref()
        .map(|english| dictionary.value("", english));
    assert_eq!(dictionary.problems, Vec::<String>::new());
    let unused = dictionary
        .texts
        .keys()
        .filter(|text| !dictionary.used.contains(*text));
    assert_eq!(
        unused.collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not on any dashboard"
    );
    for (name, (english, chinese)) in NAMES.iter().zip(english.iter().zip(&chinese)) {
        let file = |end: &str| repository_path(&format!("grafana/{name}{end}"));
        expect_file![file(".json")].assert_eq(&written(english));
        expect_file![file(".zh.json")].assert_eq(&written(chinese));
    }
}

#[test]
fn a_text_that_was_not_translated_is_noticed() {
    let mut dictionary = Dictionary::new();
    dictionary.value("panels", &json!([{"title": "A new title"}]));
    dictionary.value("panels", &json!([{"newKey": "a text"}]));
    dictionary.value(
        "options",
        &json!({"renameByName": {"account": "A new column"}}),
    );
    assert_eq!(dictionary.problems.len(), 3, "{:?}", dictionary.problems);
    assert_eq!(dictionary.text("{{account}} – 99"), "{{account}} – 99");
}

#[test]
fn the_chinese_dashboards_ask_the_same() {
    let mut dictionary = Dictionary::new();
    for name in NAMES {
        let english = dashboard(name);
        let chinese = dictionary.value("", &english);
        assert_eq!(chinese["uid"], format!("cwp-{name}-zh"));
        assert_ne!(chinese["title"], english["title"]);
        let asked = [&english, &chinese].map(|dashboard| -> Vec<String> {
            let queries = queries(dashboard);
            queries.map(|query| query.text.to_owned()).collect()
        });
        assert_eq!(asked[0], asked[1]);
        // From dashboard to dashboard in the same language.
        let texts = [&english, &chinese].map(Value::to_string);
        let uids = texts.each_ref().map(|text| text.matches("/d/cwp-").count());
        assert_eq!(uids[0], uids[1]);
        let chinese_links = texts[1].split("/d/cwp-").skip(1);
        for link in chinese_links {
            let uid = link.split('?').next().unwrap();
            assert!(uid.ends_with("-zh"), "{uid}");
        }
    }
}

#[test]
fn every_alert_has_a_name_in_both_languages() {
    let rules = repository_file("deploy/prometheus/rules.yml");
    let names = rules.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("- alert: ")?;
        Some(name.to_owned())
    });
    let names: BTreeSet<String> = names.collect();
    assert!(names.len() > 20, "{names:?}");
    for file in NAMES
        .into_iter()
        .flat_map(|name| [name.to_owned(), format!("{name}.zh")])
    {
        let dashboard = dashboard(&file);
        let panel =
            panels(&dashboard).find(|it| it["targets"][0]["expr"].to_string().contains("ALERTS"));
        let overrides = items(&panel.unwrap()["fieldConfig"]["overrides"]);
        let properties = overrides.flat_map(|it| items(&it["properties"]));
        let mappings = properties.flat_map(|it| items(&it["value"]));
        let mapped: BTreeSet<String> = mappings
            .filter_map(|mapping| mapping["options"].as_object())
            .flat_map(|options| options.keys().cloned())
            .filter(|value| value.starts_with("TencentCloudCWP"))
            .collect();
        assert_eq!(mapped, names, "{file}");
    }
}
