//! A real Alertmanager, or two that share what they have sent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{Program, client, eventually, repository_file};

/// The example for Alertmanager.
pub(crate) const CONFIG: &str = "deploy/alertmanager/alertmanager.yml";

/// A running Alertmanager. It is killed when dropped.
pub(crate) struct Alertmanager {
    pub(crate) url: String,
    http: reqwest::Client,
    _program: Program,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts `program` with this configuration, on a free port.
    pub(crate) async fn start(program: &str, config: &str) -> Self {
        Self::in_cluster(program, config, &["--cluster.listen-address="]).await
    }

    /// Starts two with this configuration, and waits until each knows the other.
    pub(crate) async fn pair(program: &str, config: &str) -> [Self; 2] {
        let listen = "--cluster.listen-address=127.0.0.1:0";
        let first = Self::in_cluster(program, config, &[listen]).await;
        let own_address = async || first.peers().await.pop();
        let peer = eventually("an address in the cluster", own_address).await;
        let peer = format!("--cluster.peer={peer}");
        let second = Self::in_cluster(program, config, &[listen, &peer]).await;
        for each in [&first, &second] {
            let is_settled = async || {
                let is_ready = each.get("status").await["cluster"]["status"] == "ready";
                (is_ready && each.peers().await.len() == 2).then_some(())
            };
            eventually("two Alertmanagers to be a cluster", is_settled).await;
        }
        [first, second]
    }

    async fn in_cluster(program: &str, config: &str, cluster: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alertmanager.yml");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.path={}", folder.path().display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .args(cluster);
        let mut program = Program::run(command);
        Self {
            url: program.url().await,
            http: client(),
            _program: program,
            _folder: folder,
        }
    }

    /// Lets these alerts fire, in requests of 64 as Prometheus sends them.
    pub(crate) async fn fire(&self, labels: &[Value]) {
        self.post(labels, |labels| json!({ "labels": labels }))
            .await;
    }

    /// Ends these alerts.
    pub(crate) async fn resolve(&self, labels: &[Value]) {
        let (start, end) = ("2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z");
        let times = |labels: &Value| json!({"labels": labels, "startsAt": start, "endsAt": end});
        self.post(labels, times).await;
    }

    async fn post(&self, labels: &[Value], alert: impl Fn(&Value) -> Value) {
        for labels in labels.chunks(64) {
            let alerts: Vec<Value> = labels.iter().map(&alert).collect();
            let request = self.http.post(format!("{}/api/v2/alerts", self.url));
            let request = request.header("content-type", "application/json");
            let response = request.body(json!(alerts).to_string()).send().await;
            assert_eq!(response.unwrap().status(), 200);
        }
    }

    async fn get(&self, what: &str) -> Value {
        let response = self.http.get(format!("{}/api/v2/{what}", self.url));
        let text = response.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The addresses of the members of its cluster, its own included.
    async fn peers(&self) -> Vec<String> {
        let status = self.get("status").await;
        let peers = status["cluster"]["peers"].as_array().into_iter().flatten();
        peers
            .map(|peer| peer["address"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Since when each account has the alert of this name.
    pub(crate) async fn since(&self, alert: &str) -> BTreeMap<String, String> {
        let alerts = self.get("alerts").await;
        let alerts = alerts.as_array().unwrap().iter();
        let alerts = alerts.filter(|each| each["labels"]["alertname"] == alert);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        alerts
            .map(|each| (text(&each["labels"]["account"]), text(&each["startsAt"])))
            .collect()
    }

    /// The alerts that are muted, each by its job and its label `variant`.
    pub(crate) async fn muted(&self) -> BTreeSet<(String, String)> {
        let alerts = self.get("alerts").await;
        let muted = alerts.as_array().unwrap().iter().filter(|alert| {
            let is_target = alert["labels"]["variant"].is_string();
            is_target && alert["status"]["inhibitedBy"] != json!([])
        });
        let label = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap().to_owned();
        muted
            .map(|alert| (label(alert, "job"), label(alert, "variant")))
            .collect()
    }
}

/// The configuration with an inbox for every receiver, by day, and with short waits.
pub(crate) fn by_day(inbox: &str) -> String {
    let text = repository_file(CONFIG)
        .replace(": 30s\n", ": 1s\n")
        .replace(": 5m\n", ": 2s\n")
        .replace(": 30m\n", ": 10s\n")
        .replace(
            "mute_time_intervals: [night]\n",
            "mute_time_intervals: []\n",
        );
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    for receiver in config["receivers"].as_array_mut().unwrap() {
        if receiver["name"] != "nobody" {
            let webhook = json!([{"url": inbox, "send_resolved": true}]);
            *receiver = json!({"name": receiver["name"], "webhook_configs": webhook});
        }
    }
    config.to_string()
}
