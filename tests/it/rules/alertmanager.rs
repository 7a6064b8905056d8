//! The example for Alertmanager sends each alert where it belongs, and mutes what an alert
//! that is above it makes meaningless.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{absolute, alerts, yaml};
use crate::harness::{client, eventually, within};
use crate::prometheus::{each_version, tool};

const CONFIG: &str = "deploy/alertmanager/alertmanager.yml";

#[tokio::test]
#[ignore = "needs Alertmanager"]
async fn amtool_accepts_the_configuration() {
    let path = absolute(CONFIG);
    for amtool in each_version("amtool") {
        let arguments = ["check-config", path.to_str().unwrap()];
        let (ok, words) = tool(&amtool, &arguments, "").await;
        assert!(ok, "{amtool}: {words}");
        assert!(!words.contains("deprecated"), "{words}");
    }
}

#[tokio::test]
#[ignore = "needs Alertmanager"]
async fn each_alert_is_routed_by_severity_and_account() {
    let path = format!("--config.file={}", absolute(CONFIG).display());
    let alerts = alerts();
    let mut severities = BTreeSet::new();
    for amtool in each_version("amtool") {
        for (name, rule) in &alerts {
            let severity = rule["labels"]["severity"].as_str().unwrap();
            // The routes look at nothing else: one alert of each severity will do.
            if amtool != "amtool" && !severities.insert(severity) {
                continue;
            }
            for account in ["prod", "partner"] {
                let receiver = match (severity, account) {
                    ("info", _) => "nobody",
                    ("critical", _) => "pager",
                    (_, "partner") => "partner",
                    _ => "tickets",
                };
                let labels = [
                    format!("--verify.receivers={receiver}"),
                    format!("alertname={name}"),
                    format!("severity={severity}"),
                    format!("account={account}"),
                ];
                let start = ["config", "routes", "test", &path].into_iter();
                let arguments: Vec<&str> = start.chain(labels.iter().map(String::as_str)).collect();
                let (ok, words) = tool(&amtool, &arguments, "").await;
                assert!(ok, "{arguments:?}: {words}");
            }
        }
    }
}

#[test]
fn tickets_are_repeated_daily_and_pages_more_often() {
    let config = yaml(CONFIG);
    let route = &config["route"];
    assert_eq!(route["receiver"], "tickets");
    assert_eq!(route["repeat_interval"], "24h");
    assert_eq!(route["group_by"], json!(["alertname", "account"]));
    let routes = route["routes"].as_array().unwrap();
    let pages = routes.iter().find(|route| route["receiver"] == "pager");
    assert_eq!(pages.unwrap()["repeat_interval"], "4h");
    let receivers = config["receivers"].as_array().unwrap();
    for receiver in receivers.iter().filter(|each| each["name"] != "nobody") {
        let text = receiver.to_string();
        assert!(text.contains("\"send_resolved\":true"), "{text}");
    }
    // Secrets are named by the file that holds them.
    let text = config.to_string();
    for secret in ["\"routing_key\"", "\"api_url\"", "_password\"", "\"url\""] {
        assert!(!text.contains(secret), "{secret}");
    }
}

/// A running Alertmanager. It is killed when dropped.
struct Alertmanager {
    url: String,
    http: reqwest::Client,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts `program` with our configuration, on a free port.
    async fn start(program: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .arg(format!("--config.file={}", absolute(CONFIG).display()))
            .arg(format!("--storage.path={}", folder.path().display()))
            .args([
                "--web.listen-address=127.0.0.1:0",
                "--cluster.listen-address=",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = String::new();
        let address = within("Alertmanager to listen", async {
            loop {
                let line = lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("{program} has ended:\n{log}"));
                log.push_str(&line);
                log.push('\n');
                if line.contains(r#"msg="Listening on""#) {
                    let address = line.split("address=").nth(1).unwrap();
                    return address.split(' ').next().unwrap().to_owned();
                }
            }
        })
        .await;
        // Nobody reads what it says of messages that it cannot send.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            url: format!("http://{address}/api/v2/alerts"),
            http: client(),
            _child: child,
            _folder: folder,
        }
    }

    /// Lets these alerts fire.
    async fn fire(&self, labels: Vec<Value>) {
        let alerts: Vec<Value> = labels
            .into_iter()
            .map(|labels| json!({ "labels": labels }))
            .collect();
        let request = self.http.post(&self.url);
        let request = request.header("content-type", "application/json");
        let response = request
            .body(json!(alerts).to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    }

    /// The targets that are muted, each by its job, which ends with its name, and account.
    async fn muted(&self) -> BTreeSet<(String, String)> {
        let response = self.http.get(&self.url).send().await.unwrap();
        let text = response.text().await.unwrap();
        let alerts: Vec<Value> = serde_json::from_str(&text).unwrap();
        let muted = alerts.iter().filter(|alert| {
            let labels = &alert["labels"];
            let target = labels["job"].as_str().unwrap().split(' ').next_back();
            labels["alertname"].as_str() == target && alert["status"]["inhibitedBy"] != json!([])
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        muted
            .map(|alert| {
                (
                    text(&alert["labels"]["job"]),
                    text(&alert["labels"]["account"]),
                )
            })
            .collect()
    }
}

/// The alerts that a source mutes: all of an account where it is about that account, or of
/// every account of the job.
fn muted_by(source: &str) -> (bool, BTreeSet<String>) {
    let names = alerts().into_iter().map(|(name, _)| name);
    let licences = names.filter(|name| name.starts_with("TencentCloudCWPLicense"));
    let mut muted: BTreeSet<String> = licences.collect();
    let weaker = |names: &[&str]| {
        let names = names
            .iter()
            .map(|name| format!("TencentCloudCWPLicense{name}"));
        names.collect::<BTreeSet<String>>()
    };
    match source.strip_prefix("TencentCloudCWP").unwrap() {
        "ExporterDown" | "ExporterAbsent" => {
            muted.insert("TencentCloudCWPDataStale".to_owned());
            (false, muted)
        }
        "DataStale" | "NeverCollected" => (true, muted),
        "LicenseNearExpiryNoRenewal" => (true, weaker(&["NearExpiry"])),
        "LicenseNoneAvailable" => {
            let names = ["EditionExhausted", "UseHigh", "ExhaustionPredicted"];
            (true, weaker(&names))
        }
        _ => (true, BTreeSet::new()),
    }
}

#[tokio::test]
#[ignore = "needs Alertmanager"]
async fn an_alert_mutes_only_what_it_makes_meaningless() {
    let all: Vec<String> = alerts().into_iter().map(|(name, _)| name).collect();
    let mut fired = Vec::new();
    let mut expected = BTreeSet::new();
    for source in &all {
        let (of_account, muted) = muted_by(source);
        for target in all.iter().filter(|target| *target != source) {
            // A job for each pair, so that nothing else has a hand in it.
            let job = format!("{source} {target}");
            fired.push(if of_account {
                json!({"alertname": source, "job": job, "account": "prod"})
            } else {
                json!({"alertname": source, "job": job})
            });
            for account in ["prod", "test"] {
                fired.push(json!({"alertname": target, "job": job, "account": account}));
                if muted.contains(target) && (account == "prod" || !of_account) {
                    expected.insert((job.clone(), account.to_owned()));
                }
            }
        }
    }
    // The target alone, or with the source of another job, is not muted.
    fired.push(
        json!({"alertname": "TencentCloudCWPLicenseExpired", "job": "other", "account": "prod"}),
    );
    for program in each_version("alertmanager") {
        let alertmanager = Alertmanager::start(&program).await;
        alertmanager.fire(fired.clone()).await;
        // An alert is seen by those that mute a moment after it was taken.
        eventually("exactly the expected alerts to be muted", async || {
            (alertmanager.muted().await == expected).then_some(())
        })
        .await;
    }
}
