//! The example for Alertmanager sends each alert where it belongs, mutes what an alert that is
//! above it makes meaningless, and so makes few messages of many alerts.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{absolute, alerts, yaml};
use crate::alertmanager::{Alertmanager, CONFIG, by_day};
use crate::harness::{computed, eventually, repository_file};
use crate::inbox::Inbox;
use crate::prometheus::{each_version, tool};

#[tokio::test]
#[ignore = "needs Alertmanager"]
async fn amtool_accepts_the_configurations() {
    for path in [CONFIG, "deploy/compose/alertmanager.json"].map(absolute) {
        for amtool in each_version("amtool") {
            let arguments = ["check-config", path.to_str().unwrap()];
            let (ok, words) = tool(&amtool, &arguments, "").await;
            assert!(ok, "{amtool}: {words}");
            assert!(!words.contains("deprecated"), "{words}");
        }
    }
}

#[tokio::test]
#[ignore = "needs Alertmanager"]
async fn each_alert_is_routed_by_severity_and_by_a_label_of_its_account() {
    let path = format!("--config.file={}", absolute(CONFIG).display());
    let teams = [
        ("", "tickets"),
        ("other", "tickets"),
        ("security", "wecom"),
        ("payments", "dingtalk"),
        ("games", "feishu"),
        ("partner", "mail"),
    ];
    let mut severities = BTreeSet::new();
    for amtool in each_version("amtool") {
        for (name, rule) in &alerts() {
            let severity = rule["labels"]["severity"].as_str().unwrap();
            // The routes look at little else: one alert of each severity will do.
            let is_new = severities.insert((amtool.clone(), severity.to_owned()));
            for (team, theirs) in &teams[..if is_new { teams.len() } else { 1 }] {
                let receiver = match severity {
                    "info" => "nobody",
                    "critical" => "pager",
                    // Nobody's own: as if there were no label.
                    _ => theirs,
                };
                let labels = [
                    format!("--verify.receivers={receiver}"),
                    format!("alertname={name}"),
                    format!("severity={severity}"),
                    format!("label_team={team}"),
                ];
                let start = ["config", "routes", "test", &path].into_iter();
                let arguments: Vec<&str> = start.chain(labels.iter().map(String::as_str)).collect();
                let (ok, words) = tool(&amtool, &arguments, "").await;
                assert!(ok, "{arguments:?}: {words}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[ignore = "needs Alertmanager"]
    fn any_alert_reaches_who_its_severity_and_team_name_and_nobody_else(
        alert in "[A-Za-z]{1,12}",
        severity in prop::sample::select(vec!["info", "warning", "critical"]),
        team in prop_oneof!["security|payments|games|partner", "[a-z0-9.-]{0,12}"],
        more in "[a-z0-9.-]{1,12}",
    ) {
        let receiver = match (severity, team.as_str()) {
            ("info", _) => "nobody",
            ("critical", _) => "pager",
            (_, "security") => "wecom",
            (_, "payments") => "dingtalk",
            (_, "games") => "feishu",
            (_, "partner") => "mail",
            _ => "tickets",
        };
        let amtool = each_version("amtool").remove(0);
        let routed = std::process::Command::new(amtool)
            .args(["config", "routes", "test"])
            .arg(format!("--config.file={}", absolute(CONFIG).display()))
            .arg(format!("--verify.receivers={receiver}"))
            .arg(format!("alertname=TencentCloudCWP{alert}"))
            .arg(format!("severity={severity}"))
            .args([format!("label_team={team}"), format!("account={more}"), format!("job={more}")])
            .output();
        let routed = routed.unwrap();
        prop_assert!(routed.status.success(), "{routed:?}");
    }
}

/// The routes that have no routes of their own, each with whether it waits for the morning.
fn ends(route: &Value, waits: bool) -> Vec<(&Value, bool)> {
    let waits = waits || route["mute_time_intervals"] == json!(["night"]);
    match route["routes"].as_array() {
        Some(routes) => routes.iter().flat_map(|route| ends(route, waits)).collect(),
        None => vec![(route, waits)],
    }
}

/// Whether a critical alert of this name waits for the morning.
pub(crate) fn pages_by_day(alert: &str) -> bool {
    let config = yaml(CONFIG);
    let ends = ends(&config["route"], false);
    let by_day = ends
        .iter()
        .find(|(route, waits)| route["receiver"] == "pager" && *waits);
    let matcher = by_day.unwrap().0["matchers"][1].as_str().unwrap();
    let names = matcher
        .trim_start_matches("alertname=~\"TencentCloudCWP(")
        .trim_end_matches(")\"");
    names
        .split('|')
        .any(|name| alert == format!("TencentCloudCWP{name}"))
}

#[test]
fn only_pages_without_days_left_come_at_night() {
    let config = yaml(CONFIG);
    let ends = ends(&config["route"], false);
    let at_night = ends.iter().filter(|(_, waits)| !waits);
    let at_night: Vec<&Value> = at_night.map(|(route, _)| *route).collect();
    assert_eq!(at_night.len(), 2, "{at_night:#?}");
    assert_eq!(at_night[0]["receiver"], "nobody");
    assert_eq!(at_night[1]["matchers"], json!(["severity=\"critical\""]));
    assert!(pages_by_day("TencentCloudCWPLicenseNearExpiryNoRenewal"));
    assert!(!pages_by_day("TencentCloudCWPLicenseExpired"));
    // The rest ends in a route of its own too: the first cannot have quiet hours.
    let last = ends.last().unwrap().0;
    assert_eq!(last["matchers"], json!(["alertname=~\".+\""]));
}

#[test]
fn tickets_are_repeated_daily_and_pages_more_often() {
    let config = yaml(CONFIG);
    let route = &config["route"];
    assert_eq!(route["receiver"], "tickets");
    assert_eq!(route["repeat_interval"], "24h");
    let pages = ends(route, false);
    let at_once = pages.iter().find(|(_, waits)| !waits);
    assert_eq!(at_once.unwrap().0["receiver"], "nobody");
    let page = pages
        .iter()
        .find(|(route, waits)| route["receiver"] == "pager" && !waits);
    assert_eq!(page.unwrap().0["repeat_interval"], "4h");
    let receivers = config["receivers"].as_array().unwrap();
    for receiver in receivers.iter().filter(|each| each["name"] != "nobody") {
        let text = receiver.to_string();
        assert!(text.contains("\"send_resolved\":true"), "{text}");
    }
    // Secrets are named by the file that holds them, but for one that only newer versions read
    // from a file. The webhooks of a bridge beside Alertmanager are no secret.
    let text = config.to_string();
    for secret in ["\"routing_key\"", "\"api_url\"", "_password\""] {
        assert!(!text.contains(secret), "{secret}");
    }
    let places = |secret: &str| text.matches(secret).count();
    assert_eq!(
        places("\"api_secret\""),
        places("\"api_secret\":\"API-SECRET\"")
    );
    assert_eq!(places("\"url\""), places("\"url\":\"http://127.0.0.1:"));
}

const FAILING: [&str; 3] = ["ManyAccountsFailing", "AccountFailing", "CollectorFailing"];

/// Whether a source mutes a target, both without the beginning that all share, and by which
/// labels beside `job` they have to be equal.
fn mutes(source: &str, target: &str) -> Option<&'static [&'static str]> {
    // A page that comes at its time, whatever is known.
    let licence = target.starts_with("License") && target != "LicenseNearExpiryNoRenewal";
    let is = |names: &[&str]| names.contains(&target);
    let servers = is(&["ServersUnprotected", "AgentsOffline"]);
    // What ends an hour after the last collection.
    let forgotten = licence || servers || is(&["LogStorageFull", "DataStale"]);
    match source {
        "ExporterDown" if forgotten => Some(&["cluster", "namespace"]),
        "ExporterAbsent" if forgotten => Some(&["cluster"]),
        "ShardMissing" if is(&["ExporterInstanceDown", "DataStale"]) => {
            Some(&["cluster", "namespace"])
        }
        // Its reason is a condition.
        "ClockSkew" if is(&FAILING) => Some(&["cluster", "namespace", "reason"]),
        "ManyAccountsFailing" if is(&FAILING[1..]) => Some(&["cluster", "namespace", "reason"]),
        "ManyAccountsFailing"
            if is(&[
                "AccountFlapping",
                "DataStale",
                "OrderDataBlind",
                "NeverCollected",
                "CredentialExpiring",
                "ReplicaFailing",
                "ApiErrorRatio",
                "BudgetSaturated",
            ]) =>
        {
            Some(&["cluster", "namespace"])
        }
        "CollectorFailing" if is(&["DataStale"]) => Some(&["cluster", "namespace", "collector"]),
        "CollectorFailing" | "AccountFailing" if is(&["ApiErrorRatio"]) => {
            Some(&["cluster", "namespace"])
        }
        "CredentialExpiring" if is(&["AccountFailing"]) => {
            Some(&["cluster", "namespace", "account", "reason"])
        }
        "AccountFailing"
            if is(&[
                "AccountFlapping",
                "DataStale",
                "OrderDataBlind",
                "NeverCollected",
            ]) =>
        {
            Some(&["cluster", "namespace", "account"])
        }
        "DataStale" if licence => Some(&["cluster", "namespace", "account"]),
        "NeverCollected" if licence || is(&["OrderDataBlind"]) => {
            Some(&["cluster", "namespace", "account"])
        }
        "OrderIsolated" if is(&["OrderExpiring", "OrderRenewalFailed"]) => {
            Some(&["cluster", "namespace", "account"])
        }
        "LicenseNearExpiryNoRenewal" if is(&["LicenseNearExpiry"]) => {
            Some(&["cluster", "namespace", "account"])
        }
        "LicenseNoneAvailable"
            if is(&[
                "LicenseEditionExhausted",
                "LicenseUseHigh",
                "LicenseExhaustionPredicted",
            ]) =>
        {
            Some(&["cluster", "namespace", "account"])
        }
        _ => None,
    }
}

#[tokio::test]
#[ignore = "needs Alertmanager"]
async fn an_alert_mutes_only_what_it_makes_meaningless() {
    let all: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    let short = |name: &str| name.trim_start_matches("TencentCloudCWP").to_owned();
    let mut fired = Vec::new();
    let mut expected = BTreeSet::new();
    for source in &all {
        for target in all.iter().filter(|target| *target != source) {
            // A job for each pair, so that nothing else has a hand in it.
            let job = format!("{source} {target}");
            let reason = match short(source).as_str() {
                "ClockSkew" => "clock",
                "CredentialExpiring" => "credentials",
                _ => "network",
            };
            let labels = |name: &str| {
                json!({
                    "alertname": name, "cluster": "eu", "namespace": "cwp", "job": job,
                    "account": "prod", "collector": "license_general", "reason": reason,
                })
            };
            fired.push(labels(source));
            let mutes = mutes(&short(source), &short(target));
            // The same, and others that differ in one label.
            for variant in [
                "same",
                "cluster",
                "namespace",
                "account",
                "collector",
                "reason",
            ] {
                let mut other = labels(target);
                other["variant"] = json!(variant);
                if variant != "same" {
                    other[variant] = json!("other");
                }
                fired.push(other);
                if mutes.is_some_and(|equal| !equal.contains(&variant)) {
                    expected.insert((job.clone(), variant.to_owned()));
                }
            }
        }
    }
    for program in each_version("alertmanager") {
        let alertmanager = Alertmanager::start(&program, &repository_file(CONFIG)).await;
        alertmanager.fire(&fired).await;
        // An alert is seen by those that mute a moment after it was taken.
        eventually("exactly the expected alerts to be muted", async || {
            (alertmanager.muted().await == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs Alertmanager"]
async fn an_alert_mutes_a_weaker_one_of_its_name_and_nothing_for_another_reason() {
    let alert = |job: &str, name: &str, more: Value| {
        let mut labels = json!({"alertname": format!("TencentCloudCWP{name}"), "job": job});
        let more = more.as_object().unwrap().clone();
        labels.as_object_mut().unwrap().extend(more);
        labels
    };
    let target = json!({"variant": "target", "account": "prod"});
    let source = |more: Value| {
        let mut labels = json!({"account": "prod"});
        labels
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        labels
    };
    let mut weaker = target.clone();
    weaker["severity"] = json!("warning");
    let mut other_order = weaker.clone();
    other_order["order"] = json!("1");
    let fired = [
        alert(
            "name",
            "LicenseExpired",
            source(json!({"severity": "critical"})),
        ),
        alert("name", "LicenseExpired", weaker.clone()),
        alert(
            "order",
            "OrderExpiring",
            source(json!({"severity": "critical", "order": "2"})),
        ),
        alert("order", "OrderExpiring", other_order),
        alert(
            "other name",
            "LicenseExpired",
            source(json!({"severity": "critical"})),
        ),
        alert("other name", "LicenseNearExpiry", weaker),
        // Only the counts of licences are old when license_general is.
        alert(
            "collector",
            "DataStale",
            source(json!({"collector": "license_list"})),
        ),
        alert("collector", "LicenseExpired", target.clone()),
        alert(
            "keys",
            "AccountFailing",
            source(json!({"reason": "credentials"})),
        ),
        alert("keys", "ApiErrorRatio", target.clone()),
    ];
    let expected = BTreeSet::from([("name".to_owned(), "target".to_owned())]);
    for program in each_version("alertmanager") {
        let alertmanager = Alertmanager::start(&program, &repository_file(CONFIG)).await;
        alertmanager.fire(&fired).await;
        eventually("only the weaker alert to be muted", async || {
            (alertmanager.muted().await == expected).then_some(())
        })
        .await;
    }
}

/// The messages about a job: receiver, status and alert.
fn about(messages: &[Value], job: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_job = messages
        .iter()
        .filter(|message| message["groupLabels"]["job"] == job);
    of_job
        .map(|message| {
            let alert = text(&message["groupLabels"]["alertname"]);
            let alert = alert.trim_start_matches("TencentCloudCWP").to_owned();
            (text(&message["receiver"]), text(&message["status"]), alert)
        })
        .collect()
}

#[tokio::test]
#[ignore = "needs Alertmanager"]
async fn an_outage_of_ten_thousand_accounts_makes_few_messages() {
    const ACCOUNTS: usize = 10_000;
    let alert = |name: &str, severity: &str, job: &str| {
        json!({
            "alertname": format!("TencentCloudCWP{name}"), "severity": severity,
            "namespace": "cwp", "job": job,
        })
    };
    let of_account = |name: &str, job: &str, account: &str, reason: &str| {
        let mut labels = alert(name, "warning", job);
        labels["account"] = json!(account);
        labels["collector"] = json!("license_general");
        if !reason.is_empty() {
            labels["reason"] = json!(reason);
        }
        labels
    };
    let of_reason = |name: &str, reason: &str| {
        let mut labels = alert(name, "warning", "many");
        labels["reason"] = json!(reason);
        labels
    };
    // In the order of the rules' `for`. Retries and two ways to fail make further alerts.
    let mut outage = vec![
        of_reason("ManyAccountsFailing", "network"),
        of_reason("ManyAccountsFailing", "timeout"),
        of_reason("CollectorFailing", "network"),
        alert("ApiErrorRatio", "warning", "many"),
        alert("BudgetSaturated", "warning", "many"),
        alert("ReplicaFailing", "warning", "many"),
    ];
    for (name, reason) in [("AccountFailing", "network"), ("DataStale", "")] {
        let accounts = 0..ACCOUNTS;
        outage
            .extend(accounts.map(|number| of_account(name, "many", &format!("a{number}"), reason)));
    }
    let one = [
        of_account("AccountFailing", "one", "prod", "credentials"),
        of_account("NeverCollected", "one", "prod", ""),
        of_account("DataStale", "one", "prod", ""),
    ];
    let mut shard = vec![
        alert("ShardMissing", "critical", "shard"),
        alert("ShardMissing", "warning", "shard"),
        alert("ExporterInstanceDown", "warning", "shard"),
    ];
    let accounts = 0..ACCOUNTS / 3;
    shard
        .extend(accounts.map(|number| of_account("DataStale", "shard", &format!("a{number}"), "")));

    for program in each_version("alertmanager") {
        let inbox = Inbox::open().await;
        let alertmanager = Alertmanager::start(&program, &by_day(&inbox.url)).await;
        let mut messages = inbox.messages.clone();
        for alerts in [&outage[..], &one, &shard] {
            alertmanager.fire(alerts).await;
        }
        let told = messages.wait_for(|all| {
            let told = |job| {
                all.iter()
                    .any(|message| message["groupLabels"]["job"] == job)
            };
            ["many", "one", "shard"].into_iter().all(told)
        });
        computed("the first messages", told).await.unwrap();
        // `keep_firing_for` lets the alert about many outlive those about one.
        let (of_many, of_one) = outage.split_at(6);
        alertmanager.resolve(of_one).await;
        alertmanager
            .fire(&[alert("ExporterRestarting", "critical", "between")])
            .await;
        let until = messages.wait_for(|all| !about(all, "between").is_empty());
        computed("a message of what came later", until)
            .await
            .unwrap();
        for alerts in [of_many, &one, &shard] {
            alertmanager.resolve(alerts).await;
        }
        let ended = messages.wait_for(|all| {
            let ended = |job| {
                about(all, job)
                    .iter()
                    .any(|(_, status, _)| status == "resolved")
            };
            ["many", "one", "shard"].into_iter().all(ended)
        });
        let all = computed("the last messages", ended).await.unwrap().clone();

        let many = about(&all, "many");
        assert!(many.len() <= 10, "{many:#?}");
        let message = |receiver: &str, status: &str, alert: &str| {
            (receiver.to_owned(), status.to_owned(), alert.to_owned())
        };
        for status in ["firing", "resolved"] {
            assert!(many.contains(&message("tickets", status, "ManyAccountsFailing")));
        }
        assert!(
            many.iter()
                .all(|(_, _, alert)| alert == "ManyAccountsFailing"),
            "{many:#?}"
        );
        let firing = |job: &str| {
            let all = about(&all, job).into_iter();
            all.filter(|(_, status, _)| status == "firing")
                .collect::<Vec<_>>()
        };
        assert_eq!(
            firing("one"),
            [message("tickets", "firing", "AccountFailing")]
        );
        assert_eq!(
            firing("shard"),
            [message("pager", "firing", "ShardMissing")]
        );
    }
}
