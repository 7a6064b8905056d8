//! The Helm chart, and the plain manifests that it renders.

use cwp_exporter::server::router::PATHS;
use serde_json::Value;

use super::{assert_arguments, documents, load, repository};
use crate::harness::repository_file;

const CHART: &str = "deploy/helm/cwp-exporter";

#[test]
fn the_chart_is_of_this_version() {
    let chart = documents(&repository_file("deploy/helm/cwp-exporter/Chart.yaml")).remove(0);
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["description"], env!("CARGO_PKG_DESCRIPTION"));
}

/// Links, which Helm replaces by what they lead to, so that nothing is here twice.
#[test]
fn the_chart_links_to_the_dashboards() {
    let link = repository(CHART).join("files/grafana");
    assert!(link.is_symlink());
    let leads_to = link.canonicalize().unwrap();
    assert_eq!(leads_to, repository("grafana").canonicalize().unwrap());
}

/// Only the metric `up` says nothing of whose it is.
#[test]
fn the_service_monitor_names_the_job_that_the_rules_look_for() {
    let monitor = repository_file("deploy/helm/cwp-exporter/templates/servicemonitor.yaml");
    let (_, job) = monitor
        .split_once("targetLabel: job\n          replacement: ")
        .unwrap();
    let job = format!("job=\"{}\"", job.lines().next().unwrap());
    assert!(
        repository_file("deploy/prometheus/rules.yml").contains(&job),
        "{job}"
    );
}

fn manifests() -> Vec<Value> {
    documents(&repository_file("deploy/kubernetes/cwp-exporter.yaml"))
}

fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> &'a Value {
    let mut found = manifests.iter().filter(|each| each["kind"] == kind);
    let first = found.next().unwrap();
    assert!(found.next().is_none(), "more than one {kind}");
    first
}

#[test]
fn the_manifests_start_the_program_with_arguments_and_a_configuration_of_its_own() {
    let manifests = manifests();
    let pod = &of_kind(&manifests, "Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let arguments = container["args"].as_array().unwrap();
    assert_arguments(arguments.iter().map(|argument| argument.as_str().unwrap()));
    let image = concat!("cwp-exporter:", env!("CARGO_PKG_VERSION"));
    assert_eq!(container["image"], image);
    for (probe, path) in [
        ("livenessProbe", "/-/healthy"),
        ("readinessProbe", "/-/ready"),
    ] {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert!(PATHS.contains(&path));
    }

    let configuration = &of_kind(&manifests, "ConfigMap")["data"]["cwp-exporter.yml"];
    let config = load(configuration.as_str().unwrap(), "/etc/cwp-exporter/keys");
    assert_eq!(config.accounts.len(), 1);
}

#[test]
fn the_pod_keeps_to_the_restricted_standard_and_asks_the_api_from_one_place() {
    let manifests = manifests();
    let workload = of_kind(&manifests, "Deployment");
    assert_eq!(workload["spec"]["replicas"], 1);
    assert_eq!(workload["spec"]["strategy"]["type"], "Recreate");
    let pod = &workload["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let profile = &pod["securityContext"]["seccompProfile"]["type"];
    assert_eq!(profile, "RuntimeDefault");
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["capabilities"]["drop"][0], "ALL");
}
