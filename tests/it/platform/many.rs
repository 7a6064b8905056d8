//! 10,000 accounts in one Prometheus: every rule is evaluated, and nothing is said of those with
//! which all is well.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Exporter, KINDS, Page, cloud, rules};
use crate::dashboard::items;
use crate::prometheus::Prometheus;

/// The accounts.
const ACCOUNTS: usize = 10_000;

/// The kind of an account. Of a hundred, 97 have licences to spare.
fn kind(number: usize) -> &'static str {
    match number % 100 {
        0 => "exhausted",
        1 => "expiring",
        2 => "refused",
        _ => "plenty",
    }
}

/// A scrape of many accounts, made of that of one account of each kind.
fn multiplied(scrape: &str) -> String {
    let mut text = String::new();
    // The lines of a family stay together, those of an account in their order.
    let mut of_kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in scrape.lines().chain(["# end"]) {
        let account = |kind: &&&str| line.contains(&format!("account=\"{kind}\""));
        if let Some(kind) = KINDS.iter().find(account) {
            of_kinds.entry(kind).or_default().push(line);
            continue;
        }
        if !of_kinds.is_empty() {
            for number in 0..ACCOUNTS {
                let kind = kind(number);
                let (old, new) = (
                    format!("account=\"{kind}\""),
                    format!("account=\"{kind}-{number}\""),
                );
                for line in of_kinds.get(kind).into_iter().flatten() {
                    text.push_str(&line.replace(&old, &new));
                    text.push('\n');
                }
            }
            of_kinds.clear();
        }
        match line.starts_with("cwp_exporter_accounts ") {
            true => text.push_str(&format!("cwp_exporter_accounts {ACCOUNTS}\n")),
            false => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus"]
async fn ten_thousand_accounts_are_judged() {
    let cloud = cloud().await;
    let accounts = KINDS.map(|kind| (kind, kind));
    let exporter = Exporter::start(&cloud, &accounts, &[]).await;
    let text = multiplied(&exporter.get("/metrics").await);
    assert!(text.lines().count() > 250_000, "{}", text.lines().count());
    let page = Page::serve(text).await;

    let rules = rules();
    let prometheus = Prometheus::start(
        "prometheus",
        &json!({
            // It has time to read half a million series on a busy machine too.
            "global": {"scrape_interval": "30s", "scrape_timeout": "30s", "evaluation_interval": "20s"},
            "rule_files": [rules.path()],
            "scrape_configs": [{"job_name": "cwp", "static_configs": [{"targets": [page.address]}]}],
        }),
    )
    .await;
    prometheus.has_scraped_all_targets().await;
    prometheus
        .until("count(tencentcloud_cwp_up)", &[10_000.0])
        .await;
    prometheus.has_evaluated_what_is_there().await;

    // The series `ALERTS` begins with a group's third evaluation.
    let rules = prometheus.rules().await;
    let alerts = rules.iter().flat_map(|rule| items(&rule["alerts"]));
    let concerned: BTreeSet<&str> = alerts
        .filter_map(|alert| alert["labels"]["account"].as_str())
        .filter_map(|account| account.split('-').next())
        .collect();
    assert_eq!(
        concerned,
        BTreeSet::from(["exhausted", "expiring", "refused"])
    );
}
