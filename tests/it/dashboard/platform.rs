//! The dashboards on a Prometheus that others share: with their targets, with a second release,
//! with a job of `/probe`, with replicas, with an exporter that is down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::query::filled_in;
use super::{dashboards, listing, queries, query_variables};
use crate::harness::{catalogue, repository_file};
use crate::prometheus::Prometheus;

/// When the queries are asked.
pub(super) const NOW: u64 = 1_750_000_000;

/// The time of the samples, from the first on: Prometheus scrapes each half minute.
fn scrapes(first: u64) -> impl Iterator<Item = u64> {
    (first..=NOW).step_by(30)
}

/// What Prometheus has scraped.
#[derive(Default)]
pub(super) struct Samples(pub(super) String);

impl Samples {
    pub(super) fn add(&mut self, name: &str, labels: &[(&str, &str)], time: u64, value: f64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        writeln!(self.0, "{name}{{{}}} {value} {time}", labels.join(",")).unwrap();
    }

    /// What Prometheus says of a target.
    fn target(&mut self, target: &[(&str, &str)], up: f64) {
        for time in scrapes(NOW - 300) {
            self.add("up", target, time, up);
            self.add("scrape_duration_seconds", target, time, 0.01);
            self.add("scrape_samples_scraped", target, time, 100.0);
        }
    }

    /// A scrape of the exporter with these accounts: every metric that there is, but those
    /// that `skipped` is true for.
    fn exporter(
        &mut self,
        target: &[(&str, &str)],
        accounts: &[&str],
        skipped: impl Fn(&str) -> bool,
    ) {
        let metrics = catalogue().into_iter();
        for metric in metrics.filter(|metric| !skipped(metric.name)) {
            let of_account = metric.labels.contains(&"account");
            let accounts = if of_account { accounts } else { &[""] };
            for account in accounts {
                let value_of = |label: &str| match label {
                    "account" => account,
                    "switch" => "auto_renewal",
                    "collector" => "license_general",
                    "agent" => "none",
                    "edition" => "basic",
                    "status" => "normal",
                    "action" => "DescribeLicenseGeneral",
                    "result" => "success",
                    _ => "x",
                };
                let own = metric.labels.iter().map(|label| (*label, value_of(label)));
                let labels: Vec<(&str, &str)> = target.iter().copied().chain(own).collect();
                for time in scrapes(NOW - 300) {
                    self.sample(metric.name, metric.kind.as_str(), &labels, time);
                }
            }
        }
    }

    pub(super) fn sample(&mut self, name: &str, kind: &str, labels: &[(&str, &str)], time: u64) {
        if kind == "histogram" {
            for le in ["0.5", "+Inf"] {
                let labels = [labels, &[("le", le)]].concat();
                self.add(&format!("{name}_bucket"), &labels, time, time as f64);
            }
            return;
        }
        let value = match name {
            "tencentcloud_cwp_up" | "tencentcloud_cwp_licenses_available" => 0.0,
            _ if name.ends_with("_max_age_seconds") => 600.0,
            _ if name.ends_with("_timestamp_seconds") => (NOW - 60) as f64,
            _ if kind == "counter" => time as f64,
            _ => 1.0,
        };
        self.add(name, labels, time, value);
    }

    /// What the rules record, and an alert, of these accounts.
    fn rules(&mut self, identity: &[(&str, &str)], accounts: &[&str]) {
        for account in accounts {
            let labels = [identity, &[("account", *account)]].concat();
            for name in recorded() {
                self.add(&name, &labels, NOW - 60, 1.0);
            }
            let alert = [("alertname", "TencentCloudCWPX"), ("severity", "critical")];
            let alert = [&labels[..], &alert].concat();
            self.add("ALERTS_FOR_STATE", &alert, NOW - 60, NOW as f64);
            let alert = [&alert[..], &[("alertstate", "firing")]].concat();
            self.add("ALERTS", &alert, NOW - 60, 1.0);
        }
    }

    /// A release: an exporter with its accounts, and what the rules make of them.
    fn release(&mut self, identity: &[(&str, &str)], instance: &str) {
        let target = [identity, &[("instance", instance)]].concat();
        self.target(&target, 1.0);
        self.exporter(&target, &ACCOUNTS, |_| false);
        self.rules(identity, &ACCOUNTS);
    }

    /// What every panel and variable of both dashboards gets, by its place.
    async fn answers(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let prometheus = Prometheus::holding(&self.0).await;
        let mut answers = BTreeMap::new();
        for dashboard in dashboards() {
            let of_panels = queries(&dashboard).map(|it| (it.place, it.text.to_owned()));
            let of_variables = query_variables(&dashboard)
                .map(|it| (format!("variable {}", it["name"]), listing(it).unwrap()));
            for (place, query) in of_panels.chain(of_variables) {
                let place = format!("{} {place}", dashboard["title"]);
                let answer = prometheus.answer_at(&filled_in(&query), NOW).await;
                answers.insert(place, answer);
            }
        }
        assert!(answers.len() > 90, "{}", answers.len());
        answers
    }
}

const ACCOUNTS: [&str; 2] = ["default", "other"];

const JOB: [(&str, &str); 1] = [("job", "cwp")];

/// The names of what the rules record for accounts, and nothing else for.
fn recorded() -> BTreeSet<String> {
    let rules = repository_file("deploy/prometheus/rules.yml");
    let names = rules.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("- record: ")?;
        name.starts_with("cluster_namespace_job_account:")
            .then(|| name.to_owned())
    });
    names.collect()
}

fn alone() -> Samples {
    let mut samples = Samples::default();
    samples.release(&JOB, "a:10064");
    samples
}

/// A series of one account, as opposed to a number over all.
fn is_of_account(labels: &str) -> bool {
    labels.contains("\"account\":")
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn what_others_run_changes_no_panel() {
    let mut shared = alone();
    for (job, instance, up) in [
        ("node", "b:9100", 0.0),
        ("node", "c:9100", 0.0),
        ("prometheus", "d:9090", 1.0),
        // A neighbour at the same address.
        ("other", "a:10064", 0.0),
    ] {
        let target = [("job", job), ("instance", instance)];
        shared.target(&target, up);
        shared.exporter(&target, &[], |name| !name.starts_with("process_"));
    }
    let (alone, shared) = tokio::join!(async { alone().answers().await }, shared.answers());
    for (place, answer) in &alone {
        assert_eq!(&shared[place], answer, "{place}");
    }
    // Nothing of this would be noticed if nothing were shown.
    for part in [
        "Instances down",
        "Memory",
        "Scrape duration",
        "Restarts",
        "Orders by deadline",
    ] {
        let mut places = alone.iter().filter(|(place, _)| place.contains(part));
        assert!(places.all(|(_, answer)| !answer.is_empty()), "{part}");
    }
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn accounts_of_one_name_in_two_clusters_are_two() {
    let eu = [("cluster", "eu"), ("namespace", "security"), ("job", "cwp")];
    let us = [("cluster", "us"), ("namespace", "security"), ("job", "cwp")];
    let (mut one, mut two) = (Samples::default(), Samples::default());
    one.release(&eu, "a:10064");
    two.release(&eu, "a:10064");
    two.release(&us, "a:10064");
    let (one, two) = tokio::join!(one.answers(), two.answers());
    let mut seen = 0;
    for (place, answer) in one {
        let of_accounts = |answer: &BTreeMap<String, String>| {
            answer.keys().filter(|labels| is_of_account(labels)).count()
        };
        let count = of_accounts(&answer);
        seen += count;
        if !place.contains("variable") {
            assert_eq!(of_accounts(&two[&place]), 2 * count, "{place}");
        }
    }
    assert!(seen > 50, "{seen}");
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn a_job_of_probes_fills_the_same_panels() {
    let of_account = |name: &str| {
        // As the documentation's second job drops it.
        name.starts_with("tencentcloud_cwp_")
            || name.starts_with("cwp_exporter_collector_")
            || name.starts_with("cwp_exporter_credential_expiry_")
            || name == "cwp_exporter_schema_drift"
    };
    let mut probes = Samples::default();
    let process = [("job", "cwp"), ("instance", "a:10064")];
    probes.target(&process, 1.0);
    probes.exporter(&process, &[], of_account);
    for account in ACCOUNTS {
        let target = [("job", "cwp-accounts"), ("instance", account)];
        probes.target(&target, 1.0);
        probes.exporter(&target, &[account], |name| !of_account(name));
    }
    probes.rules(&[("job", "cwp-accounts")], &ACCOUNTS);
    let (alone, probes) = tokio::join!(async { alone().answers().await }, probes.answers());
    for (place, answer) in alone {
        let probed = &probes[&place];
        if place.contains("variable") {
            assert_eq!(probed.is_empty(), answer.is_empty(), "{place}");
        } else {
            assert_eq!(probed.len(), answer.len(), "{place}");
        }
    }
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn the_sentence_counts_what_nobody_else_does() {
    let mut samples = Samples::default();
    let mut account = |name: &str, metrics: &[(&str, f64)], switches: &[&str]| {
        let labels = [("job", "cwp"), ("instance", "a:10064"), ("account", name)];
        let calm = [("account_info", 1.0), ("up", 1.0)];
        let calm = [&calm[..], &[("licenses_not_expired", 9.0)]].concat();
        for (metric, value) in [&calm[..], metrics].concat() {
            samples.add(&format!("tencentcloud_cwp_{metric}"), &labels, NOW, value);
        }
        for switch in switches {
            let labels = [&labels[..], &[("switch", *switch)]].concat();
            samples.add("tencentcloud_cwp_switch_enabled", &labels, NOW, 1.0);
        }
    };
    let near = [("licenses_near_expiry", 3.0)];
    let none = [("licenses_available", 0.0)];
    account("good", &[("licenses_available", 4.0)], &[]);
    account("renews by itself", &near, &["auto_renewal"]);
    let both = ["auto_renewal", "auto_purchase", "auto_purchase_renewal"];
    account("renews what it buys", &near, &both);
    account("buys by itself", &none, &["auto_purchase"]);
    account("renews by hand", &near, &[]);
    account("does not renew what it buys", &near, &both[..2]);
    account("full", &none, &[]);
    let answers = samples.answers().await;
    let expected = [
        "3 near expiry: 2",
        "5 none available: 1",
        "9 orders unknown: 7",
    ];
    assert_eq!(tasks(&answers, "Licences"), expected);
}

/// What a dashboard says is to be done: the tasks, and how many there are of each.
fn tasks(answers: &BTreeMap<String, BTreeMap<String, String>>, dashboard: &str) -> Vec<String> {
    let place = format!("\"Tencent Cloud CWP / {dashboard}\" \"What to do\" \"A\"");
    let labels = answers[&place].keys();
    let labels = labels.map(|it| serde_json::from_str::<BTreeMap<String, String>>(it).unwrap());
    let mut tasks: Vec<String> = labels.map(|mut it| it.remove("task").unwrap()).collect();
    tasks.sort();
    tasks
}

/// What the queries of a panel get, in their order.
fn of_panel<'a>(
    answers: &'a BTreeMap<String, BTreeMap<String, String>>,
    panel: &str,
) -> Vec<Vec<(&'a str, &'a str)>> {
    let start = format!("\"Tencent Cloud CWP / Licences\" \"{panel}\" ");
    let answers = answers
        .iter()
        .filter(|(place, _)| place.starts_with(&start));
    let rows = answers.map(|(_, answer)| {
        let rows = answer
            .iter()
            .map(|(labels, value)| (&labels[..], value.trim_matches('"')));
        rows.collect()
    });
    rows.collect()
}

/// Orders of one account, each as Prometheus has it once, or twice with other information: what
/// changed lately, or replicas that differ.
fn orders(orders: &[(&str, f64, f64, &[&str])]) -> Samples {
    let mut samples = Samples::default();
    let account = [("job", "cwp"), ("instance", "a:10064"), ("account", "a")];
    samples.add("tencentcloud_cwp_account_info", &account, NOW, 1.0);
    let normal = [&account[..], &[("status", "normal")]].concat();
    samples.add("tencentcloud_cwp_orders", &normal, NOW, orders.len() as f64);
    for (order, days, licences, infos) in orders {
        let labels = [&account[..], &[("order", *order)]].concat();
        if days.is_finite() {
            let deadline = NOW as f64 + days * 86_400.0;
            let name = "tencentcloud_cwp_order_deadline_timestamp_seconds";
            samples.add(name, &labels, NOW, deadline);
        }
        samples.add("tencentcloud_cwp_order_licenses", &labels, NOW, *licences);
        for info in *infos {
            let [status, renewal, source] = info.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{info}");
            };
            let more = [
                ("status", status),
                ("renewal", renewal),
                ("source", source),
                ("edition", "ultimate"),
            ];
            let labels = [&labels[..], &more].concat();
            samples.add("tencentcloud_cwp_order_info", &labels, NOW, 1.0);
        }
    }
    samples
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn the_sentence_counts_the_orders_to_renew() {
    let samples = orders(&[
        ("ends", 6.9, 1.0, &["normal manual paid"]),
        ("ends later", 29.9, 2.0, &["normal unset 6"]),
        ("passed", -1.0, 3.0, &["normal manual paid"]),
        ("has time", 30.1, 4.0, &["normal manual paid"]),
        ("renews", 3.0, 5.0, &["normal auto paid"]),
        ("was late to renew", 0.9, 6.0, &["normal auto paid"]),
        ("of another status", 3.0, 9.0, &["4 manual paid"]),
        ("isolated", -9.0, 7.0, &["isolated auto paid"]),
        ("trial", 3.0, 8.0, &["normal unset trial"]),
        ("gift", 3.0, 8.0, &["normal unset gift_cvm"]),
        ("isolated trial", -3.0, 8.0, &["isolated unset trial"]),
    ]);
    let answers = samples.answers().await;
    let expected = ["1 orders soon: 5", "4 orders later: 1"];
    assert_eq!(tasks(&answers, "Licences"), expected);
    let [problems] = &of_panel(&answers, "What needs attention")[..] else {
        panic!("{answers:?}");
    };
    let problem = |number: &str, order: &str, licences: &str| {
        let labels =
            format!(r#"{{"account":"a","job":"cwp","order":"{order}","problem":"{number}"}}"#);
        (labels, licences.to_owned())
    };
    let mut expected = vec![
        problem("02", "isolated", "7"),
        problem("03", "was late to renew", "6"),
        problem("04", "ends", "1"),
        problem("04", "of another status", "9"),
        problem("04", "passed", "3"),
        problem("06", "ends later", "2"),
    ];
    expected.sort();
    let problems = problems
        .iter()
        .map(|(labels, value)| (labels.to_string(), value.to_string()));
    let mut problems: Vec<_> = problems.collect();
    problems.sort();
    assert_eq!(problems, expected);
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn where_no_order_is_to_renew_or_none_is_known_it_is_said_so() {
    let calm = orders(&[("renews", 3.0, 5.0, &["normal auto paid"])]);
    let answers = calm.answers().await;
    assert_eq!(tasks(&answers, "Licences"), ["8 nothing: 1"]);
    // The tile says "None" for this number.
    let none = [[("{}", "1000000000000")]];
    assert_eq!(of_panel(&answers, "Next deadline"), none);

    // The account's own count speaks where its orders are not known.
    let mut blind = Samples::default();
    let account = [("job", "cwp"), ("instance", "a:10064"), ("account", "a")];
    blind.add("tencentcloud_cwp_account_info", &account, NOW, 1.0);
    blind.add("tencentcloud_cwp_licenses_near_expiry", &account, NOW, 3.0);
    let answers = blind.answers().await;
    let expected = ["3 near expiry: 1", "9 orders unknown: 1"];
    assert_eq!(tasks(&answers, "Licences"), expected);
    for panel in [
        "Next deadline",
        "Orders that end, by month",
        "Licences left, if nobody renews",
    ] {
        let rows = of_panel(&answers, panel);
        assert!(rows.iter().all(Vec::is_empty), "{rows:?}");
    }
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn the_coming_year_is_told_by_month_and_by_what_is_left() {
    // 2025-06-15 15:06:40 UTC. The last order ends in the night to July, in UTC+8.
    let samples = orders(&[
        ("ends", 40.0, 1.0, &["normal manual paid"]),
        ("renews", 40.0, 10.0, &["normal auto paid"]),
        ("trial", 100.0, 100.0, &["normal unset trial"]),
        ("passed", -1.0, 1000.0, &["normal manual paid"]),
        ("isolated", 2.0, 1000.0, &["isolated manual paid"]),
        ("midnight", 15.1, 1.0, &["normal manual paid"]),
        ("endless", f64::INFINITY, 10_000.0, &["normal unset paid"]),
    ]);
    let answers = samples.answers().await;
    let [by_hand, by_itself, trials] = &of_panel(&answers, "Orders that end, by month")[..] else {
        panic!("{answers:?}");
    };
    let months: Vec<&str> = by_hand.iter().map(|(month, _)| *month).collect();
    assert_eq!(months.len(), 13);
    assert_eq!(months[0], r#"{"month":"2025-06"}"#);
    assert_eq!(months[12], r#"{"month":"2026-06"}"#);
    let july = r#"{"month":"2025-07"}"#;
    let some: Vec<_> = by_hand.iter().filter(|(_, count)| *count != "0").collect();
    assert_eq!(some, [&(july, "2")]);
    assert_eq!(by_itself[..], [(july, "1")]);
    assert_eq!(trials[..], [(r#"{"month":"2025-09"}"#, "1")]);
    let [by_hand, by_itself] = &of_panel(&answers, "Licences left, if nobody renews")[..] else {
        panic!("{answers:?}");
    };
    let values = |rows: &[(&str, &str)]| {
        let values = rows.iter().map(|(_, value)| value.to_string());
        values.collect::<Vec<_>>().join(" ")
    };
    let endless = "10000 10000 10000 10000 10000";
    assert_eq!(values(by_hand), format!("10102 10100 {endless}"));
    assert_eq!(values(by_itself), "10 0 0 0 0 0 0");
    assert_eq!(by_hand[0].0, r#"{"in":"  0 d"}"#);
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn an_order_whose_information_has_just_changed_is_one_row() {
    let changed: [&[&str]; 2] = [
        &["normal manual paid", "normal auto paid"],
        &["isolated manual paid", "normal manual 6"],
    ];
    let samples = orders(&[("a", 3.0, 1.0, changed[0]), ("b", 4.0, 2.0, changed[1])]);
    let answers = samples.answers().await;
    let rows = of_panel(&answers, "Orders by deadline");
    let counts: Vec<usize> = rows.iter().map(Vec::len).collect();
    assert_eq!(counts, [2, 2, 2, 0, 0, 0], "{rows:?}");
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn replicas_count_once() {
    let mut both = alone();
    let replica = [("job", "cwp"), ("instance", "b:10064")];
    both.target(&replica, 1.0);
    both.exporter(&replica, &ACCOUNTS, |_| false);
    let (alone, both) = tokio::join!(async { alone().answers().await }, both.answers());
    for (place, answer) in alone {
        let count = |answer: &BTreeMap<String, String>| {
            answer.keys().filter(|labels| is_of_account(labels)).count()
        };
        if !place.contains("variable") {
            assert_eq!(count(&both[&place]), count(&answer), "{place}");
        }
        for (labels, value) in answer {
            let total = labels.contains("\"affected\":") && !place.contains("Instances down")
                || labels.contains("\"task\":");
            if is_of_account(&labels) && !place.contains("variable") || total {
                assert_eq!(both[&place].get(&labels), Some(&value), "{place}: {labels}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn an_exporter_that_is_down_is_shown_for_a_day() {
    let mut samples = Samples::default();
    let target = [("job", "cwp"), ("instance", "a:10064")];
    samples.target(&target, 0.0);
    for time in scrapes(NOW - 20 * 3600).take(10) {
        samples.add("cwp_exporter_build_info", &target, time, 1.0);
    }
    let answers = samples.answers().await;
    let of = |place: &str| {
        let place = format!("\"Tencent Cloud CWP / Exporter\" \"{place}\" \"A\"");
        answers[&place].keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(of("Instances down"), [r#"{"affected":"1","total":"1"}"#]);
    assert_eq!(of("Instances"), [r#"{"instance":"a:10064","job":"cwp"}"#]);
    // The accounts are no part of what is to be done.
    assert_eq!(tasks(&answers, "Exporter"), ["1 exporters down: 1"]);
}
