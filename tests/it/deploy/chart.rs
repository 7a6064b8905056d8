//! The Helm chart, and the plain manifests that it renders.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cwp_exporter::server::router::PATHS;
use serde_json::{Value, json};

use super::{assert_arguments, documents, files_below, load, repository};
use crate::harness::repository_file;

const CHART: &str = "deploy/helm/cwp-exporter";

#[test]
fn the_chart_is_of_this_version() {
    let chart = documents(&repository_file("deploy/helm/cwp-exporter/Chart.yaml")).remove(0);
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["description"], env!("CARGO_PKG_DESCRIPTION"));
    assert_eq!(chart["sources"], json!([env!("CARGO_PKG_REPOSITORY")]));
}

/// Several GitOps tools leave links out, and a checkout on Windows makes text of them.
#[test]
fn the_chart_has_no_links() {
    let files = files_below(&repository(CHART));
    assert!(files.len() > 20);
    let links: Vec<&PathBuf> = files.iter().filter(|path| path.is_symlink()).collect();
    assert!(links.is_empty(), "{links:?}");
}

#[test]
fn the_dashboards_of_the_chart_are_those_of_the_repository() {
    let dashboards = |folder: &str| -> BTreeMap<String, Value> {
        let files = std::fs::read_dir(repository(folder)).unwrap();
        let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let files = files.filter(|name| name.ends_with(".json"));
        let read = |name: String| {
            let text = repository_file(&format!("{folder}/{name}"));
            (name, serde_json::from_str(&text).unwrap())
        };
        files.map(read).collect()
    };
    let found = dashboards("deploy/helm/cwp-exporter/files/dashboards");
    assert!(!found.is_empty());
    assert!(
        found == dashboards("grafana"),
        "run tests/deploy/chart_files.py --write"
    );
}

#[test]
fn the_readme_of_the_chart_links_to_what_there_is() {
    let readme = repository_file("deploy/helm/cwp-exporter/README.md");
    let links = readme.split("](").skip(1);
    let links = links.map(|rest| rest.split_once(')').unwrap().0);
    let files: Vec<&str> = links.filter(|link| link.starts_with("..")).collect();
    assert!(files.len() > 4, "{files:?}");
    for link in files {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let text = std::fs::read_to_string(repository(CHART).join(path)).expect(link);
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let mut headings = headings.map(|line| {
            let heading = line.trim_start_matches('#').trim();
            heading.to_lowercase().replace(' ', "-")
        });
        assert!(
            anchor.is_empty() || headings.any(|heading| heading == anchor),
            "{link}"
        );
    }
}

/// The flags that depend on values, which the plain manifests do not have.
#[test]
fn the_chart_uses_flags_that_there_are() {
    let template = repository_file("deploy/helm/cwp-exporter/templates/_helpers.tpl");
    let (_, exporter) = template.split_once("- name: cwp-exporter\n").unwrap();
    let (exporter, _) = exporter.split_once("ports:").unwrap();
    let lines = exporter.lines().map(str::trim);
    let flags: Vec<String> = lines
        .filter_map(|line| line.strip_prefix("- --"))
        .map(|flag| match flag.split_once("={{") {
            // Any value that both the level and the format of the log do not refuse.
            Some((name @ "log.level", _)) => format!("--{name}=info"),
            Some((name @ "log.format", _)) => format!("--{name}=json"),
            Some((name, _)) => format!("--{name}=1"),
            None => format!("--{flag}"),
        })
        .collect();
    assert!(flags.len() > 8, "{flags:?}");
    assert_arguments(flags.iter().map(String::as_str));
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
    let image = concat!(
        "registry.example.com/cwp-exporter:",
        env!("CARGO_PKG_VERSION")
    );
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
