//! Every scrape configuration of the documentation, with the shipped rules, over hours: what a
//! real Prometheus has of a real exporter goes on in `promtool test rules`.

use std::collections::{BTreeMap, BTreeSet};

use cwp_exporter::simulator::{Answer, AnswerFields};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::docs::scrape_configurations;
use crate::harness::{Cloud, Exporter, config_for, repository_path};
use crate::prometheus::{Prometheus, each_version, tool};

/// The labels of each series, its name included, and its value.
type Snapshot = BTreeMap<BTreeMap<String, String>, f64>;

/// How long each state lasts.
const MINUTES: usize = 4 * 60;

/// The account that stays healthy. Its name has to be encoded in a URL.
const HEALTHY: &str = "a 0&主/";
/// The account that fails later.
const FAILING: &str = "a1";

fn licences() -> Answer {
    let fields = json!({
        "LicenseCnt": 40, "AvailableLicenseCnt": 30, "UsedLicenseCnt": 10,
        "NotExpiredLicenseCnt": 40, "NearExpiryLicenseCnt": 0, "ExpireLicenseCnt": 0,
        "ProVersionLicenseCnt": 40, "AvailableProVersionLicenseCnt": 30,
        "FlagshipVersionLicenseCnt": 0, "AvailableFlagshipVersionLicenseCnt": 0,
        "CwpVersionLicenseCnt": 0, "AvailableLHLicenseCnt": 0, "DestroyOrderNum": 0,
        "AutoOpenStatus": true, "IsOpenStatusHistory": true, "AutoRepurchaseSwitch": true,
        "AutoRepurchaseRenewSwitch": true, "RepurchaseRenewSwitch": true,
        "ProtectType": "PROVERSION_PREPAY",
    });
    let fields: &AnswerFields = fields.as_object().unwrap();
    Answer::Fields(fields.clone())
}

/// Everything that Prometheus has now.
async fn snapshot(prometheus: &Prometheus) -> Snapshot {
    let series = prometheus.series("{__name__=~'.+'}").await.into_iter();
    series.collect()
}

/// The snapshots of an exporter in this order: all is well; one account fails and its values are
/// withdrawn; the exporter is gone.
async fn snapshots(configuration: &Value) -> [Snapshot; 3] {
    let cloud = Cloud::with_accounts(2).await;
    for account in ["a0", "a1"] {
        cloud.handle.play(account, licences()).unwrap();
    }
    let (config, variables) = config_for(&cloud, 2);
    let config = config.replace("name: a0,", &format!("name: '{HEALTHY}',"));
    let exporter = Exporter::start(&config, variables).await;
    exporter.ready().await;
    let address = exporter.url.trim_start_matches("http://");
    let text = configuration.to_string().replace(ADDRESS, address);
    let mut configuration: Value = serde_json::from_str(&text).unwrap();
    configuration["global"] = json!({"scrape_interval": "500ms", "scrape_timeout": "500ms"});
    let prometheus = Prometheus::start("prometheus", &configuration).await;
    let up = format!("tencentcloud_cwp_up{{account='{FAILING}'}}");

    prometheus.has_scraped_all_targets().await;
    prometheus.until(&up, &[1.0]).await;
    let well = snapshot(&prometheus).await;

    cloud.handle.play(FAILING, Answer::Reset).unwrap();
    let licences = format!("tencentcloud_cwp_licenses{{account='{FAILING}'}}");
    prometheus.until(&licences, &[]).await;
    prometheus.until(&up, &[0.0]).await;
    let failing = snapshot(&prometheus).await;

    exporter.stop().await;
    prometheus.until("count(up == 1)", &[]).await;
    let gone = snapshot(&prometheus).await;
    [well, failing, gone]
}

/// Where the configurations have the exporter.
const ADDRESS: &str = "127.0.0.1:10064";

/// The series as `promtool` reads it.
fn written(labels: &BTreeMap<String, String>) -> String {
    let name = &labels["__name__"];
    let labels = labels.iter().filter(|(label, _)| *label != "__name__");
    let labels = labels.map(|(label, value)| format!("{label}={}", json!(value)));
    format!("{name}{{{}}}", Vec::from_iter(labels).join(","))
}

/// Whether the last collection failed that a series is about.
fn fails(labels: &BTreeMap<String, String>, state: &Snapshot) -> bool {
    state.iter().any(|(each, value)| {
        let same = |label: &str| each.get(label) == labels.get(label);
        each["__name__"] == "cwp_exporter_collector_success"
            && same("account")
            && same("collector")
            && *value < 0.5
    })
}

/// The values of a series in one state, a minute apart, as `promtool` reads them, the first at
/// the minute `start`.
///
/// A counter goes on that is further than `before`. The last attempt was just now, and so was the
/// last success where collections succeed; other times are an hour before the story.
fn values(
    labels: &BTreeMap<String, String>,
    state: &Snapshot,
    before: Option<f64>,
    start: usize,
) -> String {
    let (name, value) = (labels["__name__"].as_str(), state[labels]);
    let (now, further) = (start * 60, MINUTES - 1);
    let is_time = |what: &str| name.ends_with(&format!("_{what}_timestamp_seconds"));
    match name {
        "cwp_exporter_collector_interval_seconds" => format!("60x{further}"),
        "cwp_exporter_collector_max_age_seconds" => format!("600x{further}"),
        _ if is_time("last_success") && fails(labels, state) => {
            format!("{}x{further}", now.saturating_sub(60))
        }
        _ if is_time("last_attempt") || is_time("last_success") => format!("{now}+60x{further}"),
        _ if name.ends_with("_timestamp_seconds") || name == "process_start_time_seconds" => {
            format!("-3600x{further}")
        }
        _ if name.ends_with("_total") && value > before.unwrap_or(0.0) => {
            format!("{start}+1x{further}")
        }
        _ => format!("{value}x{further}"),
    }
}

/// A series over all states, as `promtool` reads it.
fn input(labels: &BTreeMap<String, String>, states: &[&Snapshot]) -> Value {
    let mut parts = Vec::new();
    let mut before = None;
    for (number, state) in states.iter().enumerate() {
        parts.push(match state.get(labels) {
            Some(_) => values(labels, state, before, number * MINUTES),
            None if before.is_some() => format!("stale _x{}", MINUTES - 1),
            None => format!("_x{MINUTES}"),
        });
        before = state.get(labels).copied().or(before);
    }
    json!({"series": written(labels), "values": parts.join(" ")})
}

/// Alerts by their names and accounts, and how many there are of each.
type Alerts<'a> = &'a [(&'a str, &'a str, usize)];

/// What must fire at the end of the last of these states, and nothing else but `may` may.
fn test(states: &[&Snapshot], expected: Alerts<'_>) -> Value {
    let series: BTreeSet<&BTreeMap<String, String>> =
        states.iter().flat_map(|state| state.keys()).collect();
    let input: Vec<Value> = series
        .into_iter()
        .map(|labels| input(labels, states))
        .collect();
    let samples = expected.iter().map(|(alert, account, count)| {
        let account = match *account {
            "" => String::new(),
            account => format!("account={}, ", json!(account)),
        };
        let labels = format!("{{{account}alertname=\"TencentCloudCWP{alert}\"}}");
        json!({"labels": labels, "value": count})
    });
    let samples: Vec<Value> = samples.collect();
    let end = states.len() * MINUTES - 1;
    json!({
        "interval": "1m",
        "input_series": input,
        "promql_expr_test": [{
            "expr": "count by (alertname, account) (ALERTS{alertstate=\"firing\"})",
            "eval_time": format!("{end}m"),
            "exp_samples": samples,
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus"]
async fn each_scrape_configuration_of_the_documentation_raises_each_alert_once() {
    let mut tests = Vec::new();
    for configuration in scrape_configurations(ADDRESS) {
        let [well, failing, gone] = snapshots(&configuration).await;
        tests.push(test(&[&well], &[]));
        let mut alerts = vec![("AccountFailing", FAILING, 1), ("DataStale", FAILING, 1)];
        // Half of the requests. Alertmanager mutes it where an account fails for such a reason.
        let requests = |labels: &BTreeMap<_, _>| {
            labels["__name__"] == "cwp_exporter_api_request_failures_total"
        };
        if failing.keys().any(requests) {
            alerts.push(("ApiErrorRatio", "", 1));
        }
        tests.push(test(&[&well, &failing], &alerts));
        // A ticket, and a page.
        tests.push(test(&[&well, &gone], &[("ExporterDown", "", 2)]));
    }
    let file = NamedTempFile::new().unwrap();
    let rules = repository_path("deploy/prometheus/rules.yml");
    let tests = json!({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests});
    std::fs::write(file.path(), tests.to_string()).unwrap();
    for promtool in each_version("promtool") {
        let path = file.path().to_str().unwrap();
        let (ok, words) = tool(&promtool, &["test", "rules", path], "").await;
        assert!(ok, "{promtool}: {words}");
    }
}
