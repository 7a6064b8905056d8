//! From one version to the next, as a user does it: the new rules at first, then one exporter
//! after the other, each on its address and with its state folder. Two Prometheus watch, and
//! notify two Alertmanagers that are a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use cwp_exporter::simulator::{Answer, AnswerFields};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::alertmanager::{Alertmanager, by_day};
use crate::harness::{
    Cloud, LICENSES_ALONE, Program, config_for, eventually, page_once_ready, program_of,
    repository_path,
};
use crate::inbox::Inbox;
use crate::prometheus::{Prometheus, Sample};

const ACCOUNTS: usize = 6;
const SHARDS: usize = 2;
const REPLICAS: usize = 2;

/// The alert that each account has.
const ALERT: &str = "TencentCloudCWPLicenseNearExpiry";

/// The program of the previous version.
fn previous_version() -> OsString {
    std::env::var_os("PREVIOUS_EXPORTER")
        .expect("no PREVIOUS_EXPORTER: run the tests with tests/run --all, which builds it")
}

/// The shipped rules, evaluated twice a second. An alert waits for a second.
fn fast_rules() -> String {
    let rules = std::fs::read_to_string(repository_path("deploy/prometheus/rules.yml")).unwrap();
    let lines = rules.lines().map(|line| {
        let indent = &line[..line.len() - line.trim_start().len()];
        match line.trim_start().split(' ').next() {
            Some("interval:") => format!("{indent}interval: 500ms\n"),
            Some("for:") => format!("{indent}for: 1s\n"),
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// The alert on each account, and since when it is active: one evaluation without it, and it
/// begins anew.
async fn alerts_since(prometheus: &Prometheus) -> Vec<Sample> {
    let alerts = format!(
        r#"ALERTS_FOR_STATE{{alertname="{ALERT}"}}
            and ignoring (alertstate) ALERTS{{alertstate="firing"}}"#
    );
    let all_fire = async || {
        let alerts = prometheus.series(&alerts).await;
        (alerts.len() == ACCOUNTS).then_some(alerts)
    };
    eventually("an alert on each account", all_fire).await
}

/// A Prometheus that scrapes the exporters, and notifies these Alertmanagers.
async fn prometheus(
    exporters: &[String],
    alertmanagers: &[Alertmanager],
    rules: &Path,
) -> Prometheus {
    let alertmanagers = alertmanagers
        .iter()
        .map(|each| each.url.replace("http://", ""));
    let alertmanagers: Vec<String> = alertmanagers.collect();
    let settings = json!({
        "global": {
            "scrape_interval": "500ms",
            "scrape_timeout": "500ms",
            "evaluation_interval": "500ms",
        },
        "rule_files": [rules],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": alertmanagers}]}]},
        "scrape_configs": [{"job_name": "cwp", "static_configs": [{"targets": exporters}]}],
    });
    Prometheus::start("prometheus", &settings).await
}

/// What was notified of licences: the status, the alert, the account and the beginning of each.
fn notices(messages: &[Value]) -> BTreeSet<[String; 4]> {
    let alerts = messages
        .iter()
        .flat_map(|message| message["alerts"].as_array().unwrap());
    let notices = alerts.map(|alert| {
        let labels = &alert["labels"];
        let parts = [
            &alert["status"],
            &labels["alertname"],
            &labels["account"],
            &alert["startsAt"],
        ];
        parts.map(|part| part.as_str().unwrap_or_default().to_owned())
    });
    notices
        .filter(|[_, alert, ..]| alert.contains("License"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus, Alertmanager and the previous version's program"]
async fn an_upgrade_of_shards_and_replicas_from_the_previous_version_interrupts_no_licence_alert() {
    let cloud = Cloud::with_accounts(ACCOUNTS).await;
    for number in 0..ACCOUNTS {
        let near_expiry = json!({"LicenseCnt": 9, "NotExpiredLicenseCnt": 9, "NearExpiryLicenseCnt": 4,
            "AvailableLicenseCnt": 5, "RepurchaseRenewSwitch": false});
        let near_expiry: &AnswerFields = near_expiry.as_object().unwrap();
        let near_expiry = Answer::Fields(near_expiry.clone());
        cloud
            .handle
            .play(&format!("a{number}"), near_expiry)
            .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    // The configuration of the previous version, which knows no further collectors.
    let (config, variables) = config_for(&cloud, ACCOUNTS);
    let config = config
        .replace(LICENSES_ALONE, "")
        .replace("max_age: 2s", "max_age: 1m");
    std::fs::write(folder.path().join("cwp.yml"), config).unwrap();
    std::fs::write(folder.path().join("rules.yml"), fast_rules()).unwrap();
    let start = |binary: &OsStr, member: usize, address: &str| {
        start(binary, &folder, member, address, &variables)
    };

    let mut running = Vec::new();
    let mut addresses = Vec::new();
    for member in 0..SHARDS * REPLICAS {
        let mut exporter = start(&previous_version(), member, "127.0.0.1:0");
        addresses.push(exporter.url().await.replace("http://", ""));
        running.push(exporter);
    }
    let inbox = Inbox::open().await;
    let alertmanagers = Alertmanager::pair("alertmanager", &by_day(&inbox.url)).await;
    let rules = folder.path().join("rules.yml");
    let pair = [
        prometheus(&addresses, &alertmanagers, &rules).await,
        prometheus(&addresses, &alertmanagers, &rules).await,
    ];
    let mut before = Vec::new();
    for prometheus in &pair {
        before.push(alerts_since(prometheus).await);
    }
    let all_told = async || {
        let notices = notices(&inbox.messages.borrow());
        (notices.len() == ACCOUNTS).then_some(notices)
    };
    let told = eventually("a notification of each account", all_told).await;
    let mut known = Vec::new();
    for alertmanager in &alertmanagers {
        let since = alertmanager.since(ALERT).await;
        assert_eq!(since.len(), ACCOUNTS);
        known.push(since);
    }

    for (member, address) in addresses.iter().enumerate() {
        running[member].signal("TERM").await;
        assert!(running[member].ended().await.success());
        for prometheus in &pair {
            let is_seen = async || {
                let down = prometheus.series("up == 0").await;
                (!down.is_empty()).then_some(())
            };
            eventually("the stop to be seen", is_seen).await;
        }
        running[member] = start(
            OsStr::new(env!("CARGO_BIN_EXE_cwp-exporter")),
            member,
            address,
        );
        let url = running[member].url().await;
        page_once_ready(&url).await;
        for prometheus in &pair {
            prometheus.has_scraped_all_targets().await;
            let is_back = async || {
                (prometheus.series("up == 1").await.len() == SHARDS * REPLICAS).then_some(())
            };
            eventually("the new version to be scraped", is_back).await;
        }
    }

    for (prometheus, before) in pair.iter().zip(before) {
        prometheus.has_evaluated_what_is_there().await;
        assert_eq!(alerts_since(prometheus).await, before);
        let version = format!(
            "count(cwp_exporter_build_info{{version=\"{}\"}})",
            env!("CARGO_PKG_VERSION")
        );
        let of_new_version = prometheus.query(&version).await;
        assert_eq!(of_new_version, [(BTreeMap::new(), 4.0)]);
    }
    for (alertmanager, before) in alertmanagers.iter().zip(known) {
        assert_eq!(alertmanager.since(ALERT).await, before);
    }
    // What would have been told until now has been told when the end of a later alert is.
    let later = [json!({"alertname": "TencentCloudCWPExporterRestarting", "job": "later"})];
    for (status, is_over) in [("firing", false), ("resolved", true)] {
        for alertmanager in &alertmanagers {
            match is_over {
                false => alertmanager.fire(&later).await,
                true => alertmanager.resolve(&later).await,
            }
        }
        let is_told = async || {
            let messages = inbox.messages.borrow();
            let mut of_later = messages
                .iter()
                .filter(|message| message["groupLabels"]["job"] == "later");
            of_later
                .any(|message| message["status"] == status)
                .then_some(())
        };
        eventually("the later alert to be told", is_told).await;
    }
    // Nothing has ended, and nothing was told again as if it were new.
    assert_eq!(notices(&inbox.messages.borrow()), told);
}

/// Starts a member of the four at an address, with its state folder and its shard.
fn start(
    binary: &OsStr,
    folder: &TempDir,
    member: usize,
    address: &str,
    variables: &[(String, String)],
) -> Program {
    let state = folder.path().join(format!("state-{member}"));
    std::fs::create_dir_all(&state).unwrap();
    let arguments = [
        format!("--config.file={}", folder.path().join("cwp.yml").display()),
        format!("--state.dir={}", state.display()),
        format!("--web.listen-address={address}"),
        format!("--shard.total={SHARDS}"),
        format!("--shard.index={}", member % SHARDS),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let variables = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let variables: Vec<_> = variables.collect();
    Program::run(program_of(binary.as_ref(), &arguments, &variables))
}
