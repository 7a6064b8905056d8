//! The tests of the rules notice any careless change of a rule: each number, span, label,
//! comparison, `for` and severity is changed in a copy, and every copy must fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::{TURNS, metric_names, rules, text, yaml};
use crate::prometheus::promtool;

type Rule = Map<String, Value>;

/// Changes that change nothing that matters, by a rule's name and a part of the change.
const NO_CHANGE: [(&str, &str); 35] = [
    // The line is looked at a second earlier or later.
    (LINE, "[7d], 1), 0)"),
    (LINE, "[7d], -1), 0)"),
    // What did not fall in a week did not fall in the last day either.
    (LINE, "[7d]) <= 0)"),
    // A time is far above 1.
    (SINCE, "[7d]) > 1 and"),
    (SINCE, "[7d]) > 1 or"),
    (AGE, "[1d]) > 1)"),
    // The day of the first part ends it already.
    (AGE, "[172800s]) unless on (cluster, namespace, job) (up"),
    // Half of the samples of an hour, to the last one.
    ("TencentCloudCWPAccountFlapping", "<= 0.5 "),
    // The selector of either side is that of both, as the collector is joined.
    ("TencentCloudCWPAccountFlapping", "max_last5m{}[1h]"),
    // Each status is there, also that of no order.
    ("TencentCloudCWPOrderDataBlind", "tencentcloud_cwp_orders{}"),
    (ORDERS, "tencentcloud_cwp_orders{}"),
    // The other hour ends it already.
    ("TencentCloudCWPAgentsOffline", "[7200s])) / (max"),
    ("TencentCloudCWPAgentsOffline", "[7200s])) + max"),
    // The two hours of the last success end it already.
    ("TencentCloudCWPDataStale", "account_info[14400s])"),
    ("TencentCloudCWPDataStale", "max_age_seconds[14400s])"),
    // The selector of either side is that of both, as the job is joined.
    ("TencentCloudCWPExporterInstanceDown", "up{}"),
    (
        "TencentCloudCWPExporterInstanceDown",
        "and on (cluster, namespace) up",
    ),
    // Exactly seven days, to the last digit.
    ("TencentCloudCWPLicenseExhaustionPredicted", "<= 7 "),
    // All series of one order have its one deadline.
    (ORDERS_UNRENEWED, "min by"),
    ("TencentCloudCWPOrderExpiring", "min by"),
    ("TencentCloudCWPOrderRenewalFailed", "min by"),
    ("TencentCloudCWPOrderIsolated", "min by"),
    ("TencentCloudCWPLogServiceExpiring", "min by"),
    // What does not renew itself pages long before its last day.
    (
        "TencentCloudCWPLogServiceExpiring",
        "{status!=\"isolated\"}) - time() < 24 *",
    ),
    // The 1 of an isolated one is no time within these days.
    (
        "TencentCloudCWPLogServiceExpiring",
        "{renewal!=\"auto\"}) - time() < 30 *",
    ),
    (
        "TencentCloudCWPLogServiceExpiring",
        "{renewal!=\"auto\"}) - time() < 60 *",
    ),
    // One of the two labels tells the two numbers apart.
    (
        "TencentCloudCWPServersUnprotected",
        "account) (last_over_time(",
    ),
    // The selector of either side is that of both, as the collector is joined.
    (OLDER, "timestamp_seconds{}"),
    // Those that nothing renews are in the first part.
    (ORDERS, "order_info{status!=\"isolated\"} and"),
    // What was seven hours ago is forgotten anyway.
    (ORDERS, "[50400s]"),
    (LOG_SERVICE, "[50400s]"),
    // It is recorded anew each minute until the order is forgotten.
    (USED, "[50400s]"),
    (USED, "[12600s]"),
    // Bytes are more than one.
    (STORAGE, "log_storage_bytes > 1)"),
    // The other hour ends it already.
    (STORAGE, "[7200s]"),
];
const LINE: &str =
    "cluster_namespace_job_account:tencentcloud_cwp_licenses_available:exhaustion_seconds_linear7d";
const SINCE: &str =
    "cluster_namespace_job_account:tencentcloud_cwp_licenses_near_expiry:since_timestamp_seconds";
const AGE: &str = "cluster_namespace_job_account:tencentcloud_cwp_licenses_near_expiry:age_seconds";
const OLDER: &str = "cluster_namespace_job_instance_account_collector:cwp_exporter_collector_last_success_timestamp_seconds:older";
const ORDERS: &str = "cluster_namespace_job_account_order_renewal_source_status:tencentcloud_cwp_order_deadline_timestamp_seconds:soon";
const ORDERS_UNRENEWED: &str = "cluster_namespace_job_account_order:tencentcloud_cwp_order_deadline_timestamp_seconds:soon_unrenewed_last7h";
const USED: &str =
    "cluster_namespace_job_account_order:tencentcloud_cwp_order_licenses_used:soon_last7h";
const LOG_SERVICE: &str = "cluster_namespace_job_account_order_renewal_status:tencentcloud_cwp_log_service_deadline_timestamp_seconds:soon";
const STORAGE: &str = "cluster_namespace_job_account:tencentcloud_cwp_log_storage_used_bytes_per_log_storage_bytes:ratio";

/// Stands between the name of a rule and the number of a change.
const MARK: &str = "_mutant";
/// The change of a rule that is as it was.
const UNCHANGED: &str = "unchanged";

/// A rule with one change.
struct Mutant {
    /// Its place among all rules: several alerts may have one name.
    place: usize,
    rule: Rule,
    /// The changed text.
    change: String,
}

/// The name of a rule.
fn name(rule: &Rule) -> &str {
    match text(rule, "alert") {
        "" => text(rule, "record"),
        alert => alert,
    }
}

/// How many seconds a span such as `30m` or `1d12h` has.
fn seconds(span: &str) -> u64 {
    let parts = span.split_inclusive(|each: char| each.is_ascii_alphabetic());
    let seconds = parts.map(|part| {
        let count = part.trim_end_matches(|each: char| each.is_ascii_alphabetic());
        let unit = match &part[count.len()..] {
            "" | "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86400,
            _ => panic!("what is {span}?"),
        };
        count.parse::<u64>().unwrap() * unit
    });
    seconds.sum()
}

/// Another span, of twice or half the length, such as `15m` for `30m`.
fn other_spans(span: &str) -> [String; 2] {
    let seconds = seconds(span);
    [seconds * 2, seconds / 2].map(|seconds| format!("{seconds}s"))
}

/// Other numbers than this one.
fn other_numbers(number: &str) -> Vec<String> {
    if number == "0" {
        return vec!["1".to_owned(), "-1".to_owned()];
    }
    let number: f64 = number.parse().unwrap();
    vec![(number * 2.0).to_string(), (number / 2.0).to_string()]
}

/// The pieces of an expression: words and numbers, quoted texts, marks, space.
fn pieces(expression: &str) -> Vec<&str> {
    let is_word = |each: char| each.is_ascii_alphanumeric() || "_:.".contains(each);
    let mut pieces = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let end = if first == '"' {
            rest[1..].find('"').unwrap() + 2
        } else if is_word(first) {
            rest.find(|each| !is_word(each)).unwrap_or(rest.len())
        } else if first == ' ' {
            rest.len() - rest.trim_start().len()
        } else {
            let mark = |each: char| !"=<>!~".contains(each);
            rest.find(mark).unwrap_or(rest.len()).max(1)
        };
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// What an expression could be by mistake.
fn other_expressions(expression: &str) -> Vec<String> {
    let pieces = pieces(expression);
    let mut others = Vec::new();
    // Where we are: in the parentheses of `by` or `on`, in the braces of a selector, in the
    // brackets of a span, or in none of them.
    let mut inside = ' ';
    for (index, piece) in pieces.iter().enumerate() {
        let mut replace = |from: usize, to: usize, by: &str| {
            let other = [&pieces[..from], &[by], &pieces[to..]].concat();
            others.push(other.concat());
        };
        let before = |back: usize| index.checked_sub(back).map_or("", |index| pieces[index]);
        match *piece {
            "(" if ["by", "on"].contains(&before(2)) => inside = '(',
            "{" => inside = '{',
            "[" => inside = '[',
            ")" | "}" | "]" => inside = ' ',
            // Without a label, and the comma beside it.
            word if inside == '(' && word.chars().all(|each| each.is_alphanumeric()) => {
                let last = pieces[index + 1] == ")" && before(1) == " ";
                let first = pieces[index + 1] == ",";
                let from = if last { index - 2 } else { index };
                replace(from, index + if first { 3 } else { 1 }, "");
            }
            matcher if inside == '{' && matcher.starts_with('"') => {
                let first = pieces[index + 1] == ",";
                let last = !first && before(4) == ",";
                let from = if last { index - 4 } else { index - 2 };
                replace(from, index + if first { 3 } else { 1 }, "");
            }
            spans if inside == '[' => {
                let (range, step) = spans.split_once(':').unwrap_or((spans, ""));
                for other in other_spans(range) {
                    let step = if step.is_empty() { "" } else { ":1h" };
                    replace(index, index + 1, &format!("{other}{step}"));
                }
            }
            ">" => replace(index, index + 1, ">="),
            "<" => replace(index, index + 1, "<="),
            "==" => replace(index, index + 1, "!="),
            "max" => replace(index, index + 1, "min"),
            "min" => replace(index, index + 1, "max"),
            "and" => replace(index, index + 1, "unless"),
            "unless" => replace(index, index + 1, "and"),
            number if number.parse::<f64>().is_ok() => {
                for other in other_numbers(number) {
                    replace(index, index + 1, &other);
                }
            }
            _ => {}
        }
    }
    others
}

/// All changes of one rule.
fn mutants((place, rule): (usize, &Rule)) -> Vec<Mutant> {
    let mut mutants: Vec<Mutant> = Vec::new();
    let mut change = |key: &str, value: &str| {
        let mut rule = rule.clone();
        rule.insert(key.to_owned(), value.into());
        let change = format!("{key}: {value}");
        mutants.push(Mutant {
            place,
            rule,
            change,
        });
    };
    for other in other_expressions(text(rule, "expr")) {
        change("expr", &other);
    }
    for key in ["for", "keep_firing_for"] {
        if rule.contains_key(key) {
            for other in other_spans(text(rule, key)) {
                change(key, &other);
            }
        }
    }
    if let Some(severity) = rule.get("labels").map(|labels| &labels["severity"]) {
        let other = if severity == "warning" {
            "critical"
        } else {
            "warning"
        };
        let mut rule = rule.clone();
        rule["labels"]["severity"] = other.into();
        let change = format!("severity: {other}");
        mutants.push(Mutant {
            place,
            rule,
            change,
        });
    }
    let same = |mutant: &Mutant| {
        let kept = NO_CHANGE.iter();
        let mut kept = kept.filter(|(of, _)| *of == name(rule));
        kept.any(|(_, change)| mutant.change.contains(change))
    };
    mutants.retain(|mutant| !same(mutant));
    mutants
}

/// The name of a changed rule, among those of other changes.
fn renamed(rule: &str, number: usize) -> String {
    format!("{rule}{MARK}{number}")
}

/// A text in which `rule` has the name `other`, quoted or not.
fn rename(text: &str, rule: &str, other: &str) -> String {
    let pieces = pieces(text).into_iter().map(|piece| {
        if piece.trim_matches('"') == rule {
            piece.replace(rule, other)
        } else {
            piece.to_owned()
        }
    });
    pieces.collect()
}

/// The rules that those of this name build on, in their order, and for each mutant the rules of
/// its name, the changed one among them, with a name of its own.
fn with_what_they_build_on(of: &str, mutants: &[(usize, &Mutant)], all: &[Rule]) -> Vec<Rule> {
    let mut needed = BTreeSet::from([of]);
    for (_, mutant) in mutants {
        needed.extend(metric_names(text(&mutant.rule, "expr")));
    }
    loop {
        let before = needed.len();
        for rule in all {
            if needed.contains(name(rule)) {
                needed.extend(metric_names(text(rule, "expr")));
            }
        }
        // A rule may build on one that stands behind it.
        if needed.len() == before {
            break;
        }
    }
    let mut rules = Vec::new();
    for (place, rule) in all.iter().enumerate() {
        if name(rule) != of {
            rules.extend(needed.contains(name(rule)).then(|| rule.clone()));
            continue;
        }
        for (number, mutant) in mutants {
            let changed = mutant.place == place;
            let mut rule = if changed { &mutant.rule } else { rule }.clone();
            let other = renamed(of, *number);
            // A rule may build on its own past.
            let expression = rename(text(&rule, "expr"), of, &other);
            rule["expr"] = expression.into();
            let key = if rule.contains_key("alert") {
                "alert"
            } else {
                "record"
            };
            rule[key] = other.into();
            rules.push(rule);
        }
    }
    rules
}

/// The tests of all files, each with the name of its file without the end: a file is read once,
/// as there are hundreds of mutants.
fn all_tests() -> Vec<(String, Value)> {
    let mut tests = Vec::new();
    for path in super::test_files() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut file = yaml(&format!("tests/rules/{name}.yml"));
        file.as_object_mut().unwrap().remove("group_eval_order");
        for test in file["tests"].as_array().unwrap().clone() {
            file["tests"] = json!([test]);
            tests.push((name.clone(), file.clone()));
        }
    }
    tests
}

/// What a test asks, of alerts and of series.
const QUESTIONS: [&str; 2] = ["alert_rule_test", "promql_expr_test"];

/// Whether a question is about a rule. The files are about others too, which are not there.
fn is_about(rule: &str, question: &Value) -> bool {
    if let Some(alert) = question.get("alertname") {
        return alert == rule;
    }
    // One recorded name may begin with another.
    let pieces = pieces(question["expr"].as_str().unwrap()).into_iter();
    pieces
        .map(|piece| piece.trim_matches('"'))
        .any(|piece| piece == rule)
}

/// How often a test evaluates the rules: up to the last moment of which it asks. `None` if it
/// asks nothing.
fn evaluations(file: &Value) -> Option<u64> {
    let questions = QUESTIONS.map(|key| file["tests"][0][key].as_array());
    let questions = questions.into_iter().flatten().flatten();
    let moments = questions.map(|asked| seconds(asked["eval_time"].as_str().unwrap()));
    let interval = seconds(file["evaluation_interval"].as_str().unwrap());
    moments.max().map(|moment| moment / interval)
}

/// The tests of a rule, those first that evaluate it least often.
fn tests_of(rule: &str, tests: &[(String, Value)]) -> Vec<Value> {
    let start = if rule.contains(':') {
        "recording"
    } else {
        rule
    };
    let names = ["", "_accounts", "_days", "_orders"].map(|end| format!("{start}{end}"));
    let its_own = tests.iter().filter(|(name, _)| names.contains(name));
    let mut its_own: Vec<Value> = its_own.map(|(_, file)| file.clone()).collect();
    for file in &mut its_own {
        for key in QUESTIONS {
            if let Some(questions) = file["tests"][0].get_mut(key) {
                let questions = questions.as_array_mut().unwrap();
                questions.retain(|question| is_about(rule, question));
            }
        }
    }
    its_own.retain(|file| evaluations(file).is_some());
    its_own.sort_by_key(evaluations);
    its_own
}

/// A test that asks each of its questions of every mutant.
fn of_each(test: &Value, of: &str, mutants: &[(usize, &Mutant)]) -> Value {
    let mut test = test.clone();
    for key in QUESTIONS {
        let Some(questions) = test["tests"][0].get_mut(key) else {
            continue;
        };
        let asked = questions.as_array().unwrap().iter().flat_map(|question| {
            mutants.iter().map(|(number, _)| {
                let other = renamed(of, *number);
                let mut question = question.clone();
                for key in ["alertname", "expr"] {
                    if let Some(text) = question.get_mut(key) {
                        *text = rename(text.as_str().unwrap(), of, &other).into();
                    }
                }
                let samples = question
                    .get_mut("exp_samples")
                    .and_then(Value::as_array_mut);
                for sample in samples.into_iter().flatten() {
                    if let Some(labels) = sample.get_mut("labels") {
                        *labels = rename(labels.as_str().unwrap(), of, &other).into();
                    }
                }
                question
            })
        });
        *questions = asked.collect();
    }
    test
}

/// Which of the mutants of the rules of this name pass all tests of them. All are asked at once,
/// as a test takes longer to begin than to evaluate one more rule.
async fn unnoticed<'a>(
    of: &str,
    mut mutants: Vec<(usize, &'a Mutant)>,
    tests: &[Value],
    all: &[Rule],
) -> Vec<&'a Mutant> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.json");
    let mut tests = tests.iter();
    let mut next = tests.next();
    while let Some(test) = next {
        let rules = with_what_they_build_on(of, &mutants, all);
        let groups = json!({"groups": [{"name": "mutants", "rules": rules}]});
        std::fs::write(folder.path().join("rules.json"), groups.to_string()).unwrap();
        let mut test = of_each(test, of, &mutants);
        test["rule_files"] = json!(["rules.json"]);
        std::fs::write(&file, test.to_string()).unwrap();
        let turn = TURNS.acquire().await.unwrap();
        let (passed, words) = promtool(&["test", "rules", file.to_str().unwrap()], "").await;
        drop(turn);
        // A change that is no rule at all proves nothing.
        assert!(!words.contains("parse error"), "{words}");
        let noticed: BTreeSet<usize> = words.split(MARK).skip(1).map(number_at_start).collect();
        assert_eq!(passed, noticed.is_empty(), "{of}: {words}");
        mutants.retain(|(number, _)| !noticed.contains(number));
        // A rule that cannot be evaluated ends the test, so that the others are asked again.
        if !words.contains("err: ") {
            next = tests.next();
        }
    }
    mutants.into_iter().map(|(_, mutant)| mutant).collect()
}

fn number_at_start(text: &str) -> usize {
    let end = text
        .find(|each: char| !each.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().unwrap()
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn the_tests_notice_every_careless_change() {
    let all: Arc<[Rule]> = rules().into();
    // The rules as they are must pass, or no failure would mean anything.
    let unchanged = all.iter().enumerate().map(|(place, rule)| Mutant {
        place,
        rule: rule.clone(),
        change: UNCHANGED.to_owned(),
    });
    let changed = all.iter().enumerate().flat_map(mutants);
    let mut mutants: BTreeMap<String, Vec<Mutant>> = BTreeMap::new();
    for mutant in unchanged.chain(changed) {
        let of = name(&mutant.rule).to_owned();
        mutants.entry(of).or_default().push(mutant);
    }
    let count: usize = mutants.values().map(Vec::len).sum();
    assert!(count > 300, "{count}");

    let tests = all_tests();
    let mut runs = JoinSet::new();
    for (of, mutants) in mutants {
        let (tests, all) = (tests_of(&of, &tests), Arc::clone(&all));
        runs.spawn(async move {
            let numbered = mutants.iter().enumerate().collect();
            let passed = unnoticed(&of, numbered, &tests, &all).await;
            let wrong = mutants.iter().filter(|mutant| {
                let passes = passed.iter().any(|each| std::ptr::eq(*each, *mutant));
                passes != (mutant.change == UNCHANGED)
            });
            let wrong = wrong.map(|mutant| format!("{of}: {}", mutant.change));
            wrong.collect::<Vec<String>>()
        });
    }
    let wrong = runs.join_all().await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
