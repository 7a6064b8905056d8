//! The section on alerts says what the rules do.

use super::generated::{as_code, assert_table};
use super::{code, readme};
use crate::harness::repository_file;
use crate::prometheus::promtool;
use crate::rules::alerts;

#[test]
fn the_alerts_are_those_of_the_rules() {
    let alerts = alerts();
    let rows = alerts.iter().map(|(name, rule)| {
        let severity = rule["labels"]["severity"].as_str().unwrap();
        let after = rule.get("for").and_then(|after| after.as_str());
        let [name, severity, after] =
            [name, severity, after.unwrap_or_default()].map(|cell| Some(as_code(cell)));
        [name, severity, after, None]
    });
    assert_table("alerts", rows);
}

#[test]
fn the_recorded_series_are_those_of_the_rules() {
    let page = repository_file("docs/alerts.md");
    let rules = repository_file("deploy/prometheus/rules.yml");
    let named = code(&page)
        .into_iter()
        .filter(|word| word.starts_with("job_"));
    let named: Vec<&str> = named.collect();
    for name in &named {
        assert!(rules.contains(&format!("- record: {name}\n")), "{name}");
    }
    assert!(named.len() >= 4, "{named:?}");
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn the_commands_replace_all_that_is_to_be_set() {
    let readme = readme();
    let commands = readme.snippets("sh").into_iter();
    let commands: Vec<&str> = commands.filter(|text| text.contains("sed -i")).collect();
    assert_eq!(commands.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    std::fs::write(&path, repository_file("deploy/prometheus/rules.yml")).unwrap();
    let status = tokio::process::Command::new("sh")
        .args(["-e", "-c", commands[0]])
        .current_dir(folder.path())
        .status();
    assert!(status.await.unwrap().success());

    let rules = std::fs::read_to_string(&path).unwrap();
    let rules: Vec<&str> = rules
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let rules = rules.join("\n");
    assert!(!rules.contains("example.org"));
    assert!(!rules.contains("job=\"cwp\""));
    for new in ["security/cwp-exporter", "https://grafana.internal:3000/d/"] {
        assert!(rules.contains(new), "{new}");
    }
    let path = path.to_str().unwrap();
    let (accepted, words) = promtool(&["check", "rules", path], "").await;
    assert!(accepted, "{words}");
}
