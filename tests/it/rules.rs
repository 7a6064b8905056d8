//! The rules for Prometheus, and what belongs to them: their tests, the runbooks and the
//! routes of Alertmanager.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::harness::{Program, catalogue, eventually, repository_file};
use crate::prometheus::{Prometheus, each_version, tool};

pub(crate) mod alertmanager;
mod mutants;
mod runbooks;

/// The file that all of this is about.
const RULES: &str = "deploy/prometheus/rules.yml";
/// What it is made of, with settings `${name}` in it.
const SOURCE: &str = "deploy/helm/cwp-exporter/files/rules.yml";

/// The programs that may compute at a time: more would only wait for each other.
static TURNS: Semaphore = Semaphore::const_new(2);

/// A YAML file of this repository.
fn yaml(path: &str) -> Value {
    let text = repository_file(path);
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The absolute path of a file of this repository.
pub(crate) fn absolute(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The rules of all groups in their order, each an object.
fn rules() -> Vec<Map<String, Value>> {
    rules_of(RULES)
}

fn rules_of(path: &str) -> Vec<Map<String, Value>> {
    let file = yaml(path);
    let groups = file["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap().clone());
    rules
        .map(|rule| rule.as_object().unwrap().clone())
        .collect()
}

/// The text that a rule has under `key`; empty if it has none.
fn text<'a>(rule: &'a Map<String, Value>, key: &str) -> &'a str {
    rule.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The names of the series that the rules record.
pub(crate) fn recorded() -> BTreeSet<String> {
    let rules = rules();
    let names = rules.iter().map(|rule| text(rule, "record"));
    let names = names.filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// The alerting rules, each with its name.
pub(crate) fn alerts() -> Vec<(String, Map<String, Value>)> {
    let rules = rules().into_iter();
    let named = rules.map(|rule| (text(&rule, "alert").to_owned(), rule));
    named.filter(|(name, _)| !name.is_empty()).collect()
}

/// The files with the tests of the rules.
fn test_files() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(absolute("tests/rules")).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The words of a text that are names of metrics of ours, or of what rules record.
pub(crate) fn metric_names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|each: char| !(each.is_ascii_alphanumeric() || "_:".contains(each)));
    let words = words.map(|word| word.trim_matches(':'));
    let ours = |word: &&str| {
        ["tencentcloud_cwp_", "cwp_exporter_", "process_"]
            .iter()
            .any(|start| {
                word.starts_with(start) || word.contains(':') && word.contains(&format!(":{start}"))
            })
    };
    words.filter(ours).collect()
}

/// Whether a name is that of an exposed metric, or of a part of one.
pub(crate) fn is_exposed(name: &str) -> bool {
    catalogue().iter().any(|metric| {
        let part = name.strip_prefix(metric.name);
        let is_part = matches!(part, Some("_bucket" | "_sum" | "_count"));
        part == Some("") || is_part && metric.kind.as_str() == "histogram"
    })
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn promtool_finds_nothing_wrong_with_the_rules() {
    for promtool in each_version("promtool") {
        for (what, path) in [
            ("rules", RULES),
            ("config", "deploy/prometheus/prometheus.yml"),
        ] {
            let path = absolute(path);
            let path = path.to_str().unwrap();
            let arguments = ["check", what, "--lint=all", "--lint-fatal", path];
            let (ok, words) = tool(&promtool, &arguments, "").await;
            assert!(ok, "{promtool}: {words}");
        }
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let alerts = alerts();
    assert!(alerts.len() >= 18, "{}", alerts.len());
    for (name, rule) in alerts {
        assert!(name.starts_with("TencentCloudCWP"), "{name}");
        let labels = rule["labels"].as_object().unwrap();
        let severity = labels["severity"].as_str().unwrap();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}"
        );
        assert_eq!(labels.len(), 1, "{name}");

        let annotations = rule["annotations"].as_object().unwrap();
        let keys: BTreeSet<&str> = annotations.keys().map(String::as_str).collect();
        let needed = ["description", "runbook_url", "summary"];
        assert_eq!(keys, BTreeSet::from(needed), "{name}");
        let summary = text(annotations, "summary");
        assert!(
            summary.ends_with('.') && !summary.contains("{{"),
            "{name}: a summary is one for all"
        );
        assert!(text(annotations, "description").contains("{{"), "{name}");
    }
}

#[test]
fn every_alert_can_link_to_its_runbook_and_to_a_dashboard() {
    for rule in rules_of(SOURCE) {
        let name = text(&rule, "alert");
        if name.is_empty() {
            continue;
        }
        let annotations = rule["annotations"].as_object().unwrap();
        let runbook = format!("${{runbooksUrl}}/{name}.md");
        assert_eq!(text(annotations, "runbook_url"), runbook);
        let dashboards = ["cwp-licences", "cwp-exporter"].map(|uid| {
            let start = format!("${{grafanaUrl}}/d/{uid}");
            text(annotations, "dashboard_url").starts_with(&start)
        });
        assert!(dashboards.contains(&true), "{name}");
    }
}

#[test]
fn the_alerts_link_to_runbooks_that_the_repository_has() {
    let branch = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");
    for (file, folder) in [
        ("deploy/prometheus/rules.yml", "deploy/runbooks"),
        ("deploy/prometheus/rules.zh.yml", "deploy/runbooks/zh"),
    ] {
        let alerts = rules_of(file).into_iter();
        let alerts: Vec<_> = alerts
            .filter(|rule| !text(rule, "alert").is_empty())
            .collect();
        assert!(!alerts.is_empty());
        for alert in alerts {
            let annotations = alert["annotations"].as_object().unwrap();
            let link = text(annotations, "runbook_url");
            let path = link.strip_prefix(branch).unwrap_or_else(|| {
                panic!("{file}: {link} is not below {branch}: change runbooksUrl in values.yaml")
            });
            assert_eq!(path, format!("{folder}/{}.md", text(&alert, "alert")));
            assert!(absolute(path).is_file(), "{path}");
        }
    }
}

#[test]
fn the_rules_are_their_source_with_the_values_of_the_chart() {
    let values = yaml("deploy/helm/cwp-exporter/values.yaml");
    let values = &values["prometheusRule"];
    let parts = [values, &values["thresholds"]].into_iter();
    let settings = parts.flat_map(|part| part.as_object().unwrap());
    let settings: Vec<(String, String)> = settings
        .map(|(name, value)| {
            let text = value.as_str().map(str::to_owned);
            let value = text.unwrap_or_else(|| value.to_string());
            (format!("${{{name}}}"), value)
        })
        .collect();
    let source = repository_file(SOURCE);
    let (_, source) = source.split_once("\n\n").unwrap();
    let (source, _) = source.split_once("\naccountLabels:\n").unwrap();
    let mut expected = String::new();
    for line in source.split_inclusive('\n') {
        let used = settings.iter().filter(|(name, _)| line.contains(name));
        let used: Vec<&(String, String)> = used.collect();
        // A link to nowhere is left out.
        if used.iter().all(|(_, value)| !value.is_empty()) {
            let replace =
                |line: String, (name, value): &&(String, String)| line.replace(name, value);
            expected += &used.iter().fold(line.to_owned(), replace);
        }
    }
    let rules = repository_file(RULES);
    assert!(
        rules.ends_with(&expected),
        "run tests/deploy/rules.py --write"
    );
}

/// What Prometheus puts into a text.
fn variables(text: &str) -> Vec<&str> {
    let parts = text.split("{{").skip(1);
    let mut variables: Vec<&str> = parts.map(|part| part.split("}}").next().unwrap()).collect();
    variables.sort_unstable();
    variables
}

#[test]
fn the_rules_in_chinese_differ_in_the_texts_of_alerts_alone() {
    let chinese = rules_of("deploy/prometheus/rules.zh.yml");
    let english = rules();
    assert_eq!(chinese.len(), english.len());
    for (mut chinese, mut english) in chinese.into_iter().zip(english) {
        let name = text(&english, "alert").to_owned();
        let [told, said] = [&mut chinese, &mut english].map(|rule| rule.remove("annotations"));
        assert_eq!(chinese, english);
        let (Some(told), Some(said)) = (told, said) else {
            continue;
        };
        for key in ["summary", "description"] {
            let [told, said] = [&told, &said].map(|texts| texts[key].as_str().unwrap());
            assert!(told.ends_with(['。', '}']), "{name}: {told}");
            assert_eq!(variables(told), variables(said), "{name}");
        }
    }
}

#[test]
fn what_is_recorded_is_named_after_what_it_is_recorded_from() {
    for name in recorded() {
        let parts: Vec<&str> = name.split(':').collect();
        assert_eq!(parts.len(), 3, "{name}");
        // A ratio is of two metrics, whose common start is written once.
        for metric in parts[1].split("_per_") {
            let short = format!("tencentcloud_cwp_{metric}");
            assert!(is_exposed(metric) || is_exposed(&short), "{name}");
        }
    }
}

#[test]
fn only_what_others_have_too_is_selected_by_the_job_or_joined() {
    for rule in rules() {
        let expression = text(&rule, "expr");
        let count = |part: &str| expression.matches(part).count();
        let [up, start] = ["up", "process_start_time_seconds"].map(|metric| format!("{metric}{{"));
        let selected = count(&format!("{up}job=\"cwp\"}}"));
        let selected = selected + count(&format!("{start}job=\"cwp\"}}"));
        assert_eq!(count("job="), selected, "{expression}");
        // Targets of any job, but only of ours: those that had an account.
        let joined = count("and on (cluster, namespace, job, instance) up == 0");
        let joined = joined + count("unless on (cluster, namespace, job) up == 0");
        let all = "unless on (cluster, namespace, job) (up == 1 unless";
        let joined = joined + count(all);
        let strangers = count("up == ") + count("process_") - count(&start);
        assert_eq!(strangers, joined, "{expression}");
    }
}

#[test]
fn every_alert_has_a_test_of_each_kind() {
    let kinds = [
        ("fires", "fires"),
        ("silent", "stays silent"),
        ("failures between", "failed "),
        ("a restart", "restart"),
        ("a pair of replicas", "of replicas"),
    ];
    let files = test_files();
    let found = files.iter().map(|path| path.file_stem().unwrap().to_str());
    let found: BTreeSet<String> = found.map(|name| name.unwrap().to_owned()).collect();
    let recordings = [
        "recording",
        "recording_accounts",
        "recording_days",
        "recording_orders",
    ];
    let mut expected = BTreeSet::from(recordings.map(str::to_owned));
    for (alert, _) in alerts() {
        // A second file evaluates at another interval: days cannot be looked at each minute.
        let files = [alert.clone(), format!("{alert}_days")];
        let files = files.into_iter().filter(|file| found.contains(file));
        let files: Vec<String> = files.collect();
        let tests: Vec<Value> = files
            .iter()
            .flat_map(|file| {
                let file = yaml(&format!("tests/rules/{file}.yml"));
                file["tests"].as_array().unwrap().clone()
            })
            .collect();
        let names: Vec<&str> = tests
            .iter()
            .map(|test| test["name"].as_str().unwrap())
            .collect();
        for (kind, words) in kinds {
            let some = names.iter().any(|name| name.contains(words));
            let or_replica = words == "of replicas" && alert.contains("Replica");
            assert!(some || or_replica, "{alert} has no test of: {kind}");
        }
        expected.extend(files);
    }
    assert_eq!(found, expected);
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn the_tests_of_the_rules_pass() {
    let files = test_files().into_iter();
    let files = files.map(|path| path.to_str().unwrap().to_owned());
    let files: Vec<String> = files.collect();
    // `mutants` asks the program on PATH the same, if this is another one.
    let promtool = each_version("promtool").pop().unwrap();
    let mut runs = tokio::task::JoinSet::new();
    // Each long enough to be worth a process, and short enough for our patience.
    for part in files.chunks(3) {
        let (promtool, part) = (promtool.clone(), part.to_vec());
        runs.spawn(async move {
            let turn = TURNS.acquire().await.unwrap();
            let files = part.iter().map(String::as_str);
            let arguments: Vec<&str> = ["test", "rules"].into_iter().chain(files).collect();
            let (ok, words) = tool(&promtool, &arguments, "").await;
            assert!(ok, "{promtool}: {words}");
            assert_eq!(words.matches("SUCCESS").count(), part.len(), "{words}");
            drop(turn);
        });
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn prometheus_evaluates_every_rule_on_the_demo() {
    let mut demo = Program::start(&["demo", "--web.listen-address=127.0.0.1:0"], &[]);
    let url = demo.url().await;
    // Every group at once, and not after an hour.
    let file = tempfile::NamedTempFile::new().unwrap();
    let rules_text = repository_file(RULES);
    let lines = rules_text.lines().map(|line| format!("{line}\n"));
    let lines = lines.filter(|line| !line.starts_with("    interval:"));
    let at_once: String = lines.collect();
    std::fs::write(file.path(), at_once).unwrap();
    let prometheus = Prometheus::scraping_with(&url, Some(file.path())).await;
    // The recorded series come from what the demo exposes, but for the trend of a week and for
    // replicas, of which the demo has none.
    for rule in rules() {
        let name = text(&rule, "record");
        let absent = ["exhaustion", ":older"];
        if name.is_empty() || absent.iter().any(|part| name.contains(part)) {
            continue;
        }
        prometheus.has_data(name).await;
    }
    let evaluated = eventually("every rule to be evaluated", async || {
        let rules = prometheus.rules().await;
        let all = !rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown");
        all.then_some(rules)
    })
    .await;
    assert_eq!(evaluated.len(), rules().len());
    for rule in evaluated {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    // One that begins pending at once: an account of the demo fails.
    let pending = "ALERTS{alertname=\"TencentCloudCWPAccountFailing\"}";
    prometheus.has_data(pending).await;
}
