//! The compose stack.

use serde_json::{Value, json};

use super::{assert_arguments, documents, load, repository};
use crate::harness::repository_file;
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
        let image = concat!("cwp-exporter:", env!("CARGO_PKG_VERSION"));
        assert_eq!(service["image"], image);
        let arguments = service["command"].as_array().unwrap();
        assert_arguments(arguments.iter().map(|argument| argument.as_str().unwrap()));
        let aliases = &service["networks"]["default"]["aliases"];
        assert_eq!(aliases, &json!(["cwp-exporter"]));
    }
    let text = repository_file("deploy/compose/exporter.yml");
    assert_eq!(load(&text, "/run/secrets").accounts.len(), 1);
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
