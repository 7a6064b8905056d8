//! What a look at the dashboards costs Prometheus: the samples that it reads, which are in
//! proportion to its work and the same on every machine.

use std::collections::BTreeMap;

use super::platform::{NOW, Samples};
use super::query::filled_in;
use super::{dashboard, items, listing, query_variables};
use crate::harness::catalogue;
use crate::prometheus::Prometheus;

/// What is read grows with the accounts: of 10,000 it is ten times as much.
const ACCOUNTS: usize = 1_000;

/// The orders of each account.
const ORDERS: usize = 5;

/// A day in seconds.
const DAY: usize = 86_400;

/// The values of a label of the account number `account` in the series of `metric`.
fn values(metric: &str, label: &str, account: usize) -> Vec<String> {
    let of_order = metric.contains("_order_");
    let values: &[&str] = match label {
        "account" => return vec![format!("account-{account}")],
        "order" => {
            let orders = (0..ORDERS).map(|order| format!("order-{account}-{order}"));
            return orders.collect();
        }
        "agent" => &["online", "offline", "none", "shutdown"],
        "collector" => &[
            "license_general",
            "license_list",
            "general_stat",
            "history_service",
            "log_storage_statistic",
        ],
        "edition" if !of_order => &["professional", "ultimate", "basic"],
        "source" => &["paid"],
        "status" if of_order => &["normal"],
        "status" => &["normal", "isolated", "destroyed"],
        "switch" => &["auto_renewal", "auto_purchase", "auto_purchase_renewal"],
        _ => &["x"],
    };
    values.iter().map(|&value| value.to_owned()).collect()
}

/// The labels of all series of `metric` that the account has.
fn series(
    metric: &str,
    labels: &[&'static str],
    account: usize,
) -> Vec<Vec<(&'static str, String)>> {
    let mut series = vec![Vec::new()];
    for label in labels {
        let values = values(metric, label, account);
        let longer = series.iter().flat_map(|labels: &Vec<_>| {
            let values = values.iter().map(|value| (*label, value.clone()));
            values.map(|value| [&labels[..], &[value]].concat())
        });
        series = longer.collect();
    }
    series
}

/// What all collectors find of many accounts. One order of five does not renew itself, and one
/// account of ten fails.
fn accounts() -> Samples {
    let target = [("job", "cwp"), ("instance", "a:10064")];
    let mut samples = Samples::default();
    samples.add("up", &target, NOW, 1.0);
    for metric in catalogue() {
        let accounts = if metric.labels.contains(&"account") {
            ACCOUNTS
        } else {
            1
        };
        let fails = metric.name == "cwp_exporter_collector_failure_reason";
        for account in (0..accounts).filter(|account| !fails || account % 10 == 0) {
            for (number, own) in series(metric.name, metric.labels, account)
                .iter()
                .enumerate()
            {
                let renewal = if number % ORDERS == 0 {
                    "manual"
                } else {
                    "auto"
                };
                let own = own.iter().map(|(label, value)| match *label {
                    "renewal" => ("renewal", renewal),
                    label => (label, value.as_str()),
                });
                let labels: Vec<(&str, &str)> = target.into_iter().chain(own).collect();
                if metric.name == "tencentcloud_cwp_order_deadline_timestamp_seconds" {
                    let days = (account * 37 + number * 101) % 360;
                    let deadline = NOW as f64 + (days * DAY) as f64;
                    samples.add(metric.name, &labels, NOW, deadline);
                } else {
                    samples.sample(metric.name, metric.kind.as_str(), &labels, NOW);
                }
            }
        }
    }
    samples
}

/// A look at a dashboard as it is opened, with its closed rows closed: the samples that are read
/// of each account, and the panels that get more rows than a table of a hundred accounts has.
async fn look(prometheus: &Prometheus, name: &str) -> (u64, Vec<String>) {
    let dashboard = dashboard(name);
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let (mut samples, mut asked, mut long) = (0, 0, Vec::new());
    for variable in query_variables(&dashboard) {
        // Those that list labels read none.
        let query = variable["query"].as_str().unwrap();
        if !query.starts_with("query_result(") {
            continue;
        }
        let query = filled_in(&listing(variable).unwrap());
        let (series, read) = prometheus.cost_at(&query, NOW).await;
        samples += read;
        let by_order = variable["regex"].as_str().unwrap().contains("order=");
        let label = if by_order { "order" } else { "account" };
        let values = series
            .iter()
            .map(|it| it["metric"][label].as_str().unwrap());
        let name = format!("${}", variable["name"].as_str().unwrap());
        found.insert(name, values.collect::<Vec<_>>().join("|"));
    }
    for panel in items(&dashboard["panels"]) {
        for target in items(&panel["targets"]) {
            let query = target["expr"].as_str().unwrap().to_owned();
            let query = found
                .iter()
                .fold(query, |query, (name, values)| query.replace(name, values));
            let (series, read) = prometheus.cost_at(&filled_in(&query), NOW).await;
            samples += read;
            asked += 1;
            // A row for each of five collectors.
            if series.len() > 500 {
                long.push(format!("{}: {}", panel["title"], series.len()));
            }
        }
    }
    assert!(asked > 25, "{asked}");
    (samples / ACCOUNTS as u64, long)
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn a_look_at_many_accounts_reads_little_of_each_and_shows_a_hundred() {
    let prometheus = Prometheus::holding(&accounts().0).await;
    for (name, most) in [("licences", 240), ("exporter", 75)] {
        let (read, long) = look(&prometheus, name).await;
        assert!(read <= most, "{name}: {read} samples of each account");
        assert_eq!(long, Vec::<String>::new(), "{name}");
    }
}
