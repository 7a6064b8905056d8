//! The files with which Grafana finds dashboards and data source by itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{NAMES, dashboard, says};
use crate::harness::repository_file;

fn provisioning(path: &str) -> Value {
    let text = repository_file(&format!("grafana/provisioning/{path}"));
    serde_saphyr::from_str(&text).unwrap()
}

#[test]
fn grafana_is_told_where_the_dashboards_are() {
    // Each language has a folder of its own.
    let mut folders = BTreeSet::new();
    for (language, end) in [("", ""), (".zh", "-zh")] {
        let file = provisioning(&format!("dashboards/cwp-exporter{language}.yaml"));
        assert_eq!(file["apiVersion"], 1);
        let [provider] = &file["providers"].as_array().unwrap()[..] else {
            panic!("one provider: {file}");
        };
        assert_eq!(provider["type"], "file");
        assert_eq!(provider["name"], format!("cwp-exporter{end}"));
        assert!(says(&provider["folder"]));
        assert!(folders.insert(provider["folder"].to_string()));
        let path = format!("/var/lib/grafana/dashboards/cwp-exporter{end}");
        assert_eq!(provider["options"], json!({"path": path}));
        // What is changed in Grafana would be lost at the next start.
        assert_eq!(provider["allowUiUpdates"], false);
    }
    for name in NAMES {
        for file in [name.to_owned(), format!("{name}.zh")] {
            // These are for uploads: a provisioned dashboard would ask for a source for ever.
            let text = dashboard(&file).to_string();
            assert!(
                !text.contains("__inputs") && !text.contains("__requires"),
                "{file}"
            );
        }
    }
}

#[test]
fn grafana_is_told_of_the_data_source() {
    let file = provisioning("datasources/prometheus.yaml");
    assert_eq!(file["apiVersion"], 1);
    let [source] = &file["datasources"].as_array().unwrap()[..] else {
        panic!("one data source: {file}");
    };
    assert_eq!(source["type"], "prometheus");
    assert_eq!(source["isDefault"], true);
    assert!(
        source["url"].as_str().unwrap().starts_with("http://"),
        "{source}"
    );
    // Prometheus' own default: with less, rates over short ranges would be empty there.
    assert_eq!(source["jsonData"]["timeInterval"], "60s");
}
