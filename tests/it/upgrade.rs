//! From one version to the next, as a user does it: the new rules at first, then one exporter
//! after the other, each on its address and with its state folder.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use cwp_exporter::simulator::{Answer, AnswerFields};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{
    Cloud, LICENSES_ALONE, Program, config_for, eventually, page_once_ready, program_of,
    repository_path,
};
use crate::prometheus::{Prometheus, Sample};

const ACCOUNTS: usize = 6;
const SHARDS: usize = 2;
const REPLICAS: usize = 2;

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
    let alerts = r#"ALERTS_FOR_STATE{alertname="TencentCloudCWPLicenseNearExpiry"}
        and ignoring (alertstate) ALERTS{alertstate="firing"}"#;
    let all_fire = async || {
        let alerts = prometheus.series(alerts).await;
        (alerts.len() == ACCOUNTS).then_some(alerts)
    };
    eventually("an alert on each account", all_fire).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus and the previous version's program"]
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
    let job = json!({"job_name": "cwp", "static_configs": [{"targets": addresses}]});
    let rules = folder.path().join("rules.yml");
    let pair = [
        Prometheus::with_job("prometheus", job.clone(), Some(&rules)).await,
        Prometheus::with_job("prometheus", job, Some(&rules)).await,
    ];
    let mut before = Vec::new();
    for prometheus in &pair {
        before.push(alerts_since(prometheus).await);
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
