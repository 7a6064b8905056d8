//! The compose stack.

use std::process::Stdio;

use expect_test::expect_file;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::{assert_arguments, documents, load, repository};
use crate::harness::{client, repository_file, within};
use crate::prometheus::promtool;

const FOLDER: &str = "deploy/compose";

fn services() -> serde_json::Map<String, Value> {
    let text = repository_file("deploy/compose/compose.yml");
    let stack = documents(&text).remove(0);
    let services = stack["services"].as_object().unwrap().clone();
    assert!(services.len() >= 5, "{:?}", services.keys());
    services
}

#[test]
fn every_service_is_confined_and_listens_on_loopback_only() {
    for (name, service) in services() {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        let options = json!(["no-new-privileges:true"]);
        assert_eq!(service["security_opt"], options, "{name}");
        assert!(service["mem_limit"].is_string(), "{name}");
        let user = service["user"].as_str().unwrap();
        assert!(!user.starts_with('0') && user.contains(':'), "{name}");
        for port in service["ports"].as_array().unwrap() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}");
        }
        let image = service["image"].as_str().unwrap();
        let tag = image.rsplit_once(':').unwrap().1;
        assert!(tag.contains('.'), "{name}: {image} is not pinned");
    }
}

#[test]
fn what_is_mounted_is_there_and_cannot_be_written() {
    for (name, service) in services() {
        let volumes = service["volumes"].as_array().cloned().unwrap_or_default();
        for volume in volumes {
            let volume = volume.as_str().unwrap();
            let Some((source, _)) = volume.split_once(':') else {
                panic!("{name}: {volume}")
            };
            if source.starts_with('.') {
                assert!(volume.ends_with(":ro"), "{name}: {volume}");
                let path = repository(FOLDER).join(source);
                assert!(path.exists(), "{name}: there is no {source}");
            }
        }
    }
}

#[test]
fn the_exporter_runs_with_arguments_and_a_configuration_of_its_own() {
    let services = services();
    for name in ["demo", "exporter"] {
        let service = &services[name];
        let image = concat!(
            "${CWP_EXPORTER_IMAGE:-cwp-exporter:",
            env!("CARGO_PKG_VERSION"),
            "}"
        );
        assert_eq!(service["image"], image);
        let arguments = service["command"].as_array().unwrap();
        assert_arguments(arguments.iter().map(|argument| argument.as_str().unwrap()));
        let aliases = &service["networks"]["default"]["aliases"];
        assert_eq!(aliases, &json!(["cwp-exporter"]));
    }
    let text = repository_file("deploy/compose/exporter.yml");
    assert_eq!(load(&text, "/run/secrets").accounts.len(), 1);
}

#[test]
fn the_demo_is_what_is_run_by_default() {
    let settings = repository_file("deploy/compose/.env");
    assert!(settings.contains("\nCOMPOSE_PROFILES=demo\n"));
    assert_eq!(services()["demo"]["profiles"], json!(["demo"]));
}

#[test]
fn messages_take_the_shipped_routes_and_are_printed() {
    let mut config = documents(&repository_file("deploy/alertmanager/alertmanager.yml")).remove(0);
    for receiver in config["receivers"].as_array_mut().unwrap() {
        // A receiver with only a name notifies nobody.
        if receiver.as_object().unwrap().len() > 1 {
            let url = "http://messages:9095/";
            *receiver = json!({"name": receiver["name"], "webhook_configs": [{"url": url}]});
        }
    }
    // What mail needs.
    config.as_object_mut().unwrap().remove("global");
    let text = serde_json::to_string_pretty(&config).unwrap() + "\n";
    expect_file![repository("deploy/compose/alertmanager.json")].assert_eq(&text);

    let services = services();
    let volumes = services["alertmanager"]["volumes"].as_array().unwrap();
    let mount = "${ALERTMANAGER_CONFIG:-./alertmanager.json}:/etc/alertmanager/alertmanager.yml:ro";
    assert!(volumes.contains(&json!(mount)));
    let command = json!(["python3", "/messages.py", "9095"]);
    assert_eq!(services["messages"]["command"], command);
}

#[tokio::test]
#[ignore = "needs Python"]
async fn each_alert_of_a_message_is_a_line_in_the_log() {
    let mut receiver = Command::new("python3")
        .arg(repository("deploy/compose/messages.py"))
        .arg("0")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(receiver.stdout.take().unwrap()).lines();
    let started = within("the receiver to start", lines.next_line()).await;
    let started = started.unwrap().unwrap();
    let port = started.strip_prefix("Listening on port ").unwrap();

    let alert = |status: &str, name: &str| {
        json!({
            "status": status,
            "labels": {"alertname": name, "severity": "critical"},
            "annotations": {"description": format!("{name} is {status}.")},
        })
    };
    let message = json!({
        "receiver": "pager",
        "alerts": [alert("firing", "One"), alert("resolved", "Other")],
    });
    let request = client().post(format!("http://127.0.0.1:{port}/"));
    let answer = within("the answer", request.body(message.to_string()).send()).await;
    assert_eq!(answer.unwrap().status(), 200);
    for line in [
        "To pager: firing critical One: One is firing.",
        "To pager: resolved critical Other: Other is resolved.",
    ] {
        let printed = within("a line", lines.next_line()).await;
        assert_eq!(printed.unwrap().as_deref(), Some(line));
    }
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn prometheus_takes_its_configuration_with_the_rules_and_scrapes_the_exporter() {
    // As they are mounted.
    let folder = tempfile::tempdir().unwrap();
    let config = repository_file("deploy/compose/prometheus.yml");
    let path = folder.path().join("prometheus.yml");
    std::fs::write(&path, &config).unwrap();
    let rules = repository_file("deploy/prometheus/rules.yml");
    std::fs::write(folder.path().join("rules.yml"), &rules).unwrap();
    let (good, said) = promtool(&["check", "config", path.to_str().unwrap()], "").await;
    assert!(good, "{said}");

    let config = documents(&config).remove(0);
    let job = &config["scrape_configs"][0];
    let name = job["job_name"].as_str().unwrap();
    assert!(rules.contains(&format!("job=\"{name}\"")), "{name}");
    let targets = &job["static_configs"][0]["targets"];
    assert_eq!(targets, &json!(["cwp-exporter:10064"]));
    // As everywhere, the same Prometheus scrapes what is no exporter.
    let jobs = config["scrape_configs"].as_array().unwrap();
    let jobs: Vec<&Value> = jobs.iter().map(|job| &job["job_name"]).collect();
    assert_eq!(jobs[1..], ["prometheus", "alertmanager", "grafana"]);
}

#[test]
fn grafana_finds_the_dashboards_and_prometheus_where_its_provisioning_says() {
    let read = |path: &str| documents(&repository_file(path)).remove(0);
    let services = services();
    let volumes = services["grafana"]["volumes"].as_array().unwrap();
    for language in ["", ".zh"] {
        let file = format!("grafana/provisioning/dashboards/cwp-exporter{language}.yaml");
        let provider = &read(&file)["providers"][0];
        let path = provider["options"]["path"].as_str().unwrap();
        for name in ["licences", "exporter"] {
            let mount = format!("../../grafana/{name}{language}.json:{path}/{name}.json:ro");
            assert!(volumes.contains(&json!(mount)), "{mount}");
        }
    }

    let sources = read("grafana/provisioning/datasources/prometheus.yaml");
    assert_eq!(sources["datasources"][0]["url"], "http://prometheus:9090");
    assert!(services.contains_key("prometheus"));
}
