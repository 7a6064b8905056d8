//! Each alert has a runbook, and what a runbook names exists.

use std::collections::BTreeSet;

use cwp_exporter::commands::Cli;
use serde_json::json;

use super::{absolute, alerts};
use crate::harness::documents;
use crate::prometheus::{promtool, tool};

const HEADINGS: [&str; 4] = [
    "What it means",
    "What it costs to ignore",
    "What to do",
    "How to silence",
];

/// Every runbook: the alert's name and the page.
fn runbooks() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(absolute("deploy/runbooks")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    // The folder `zh` has them in Chinese.
    let paths = paths.filter(|path| !path.is_dir());
    let pages = paths.map(|path| {
        assert_eq!(path.extension().unwrap(), "md", "{}", path.display());
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    });
    pages.collect()
}

/// The blocks of a page in this language, without their indent.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = page.lines().map(str::trim);
    while lines.by_ref().any(|line| line == start) {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

#[test]
fn every_alert_has_a_runbook_of_four_parts() {
    let alerts: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    let runbooks = runbooks();
    let named: BTreeSet<String> = runbooks.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(named, alerts);
    for (name, page) in runbooks {
        assert!(page.starts_with(&format!("# {name}\n")), "{name}");
        let parts: Vec<&str> = page.split("\n## ").skip(1).collect();
        let headings = parts.iter().map(|part| part.lines().next().unwrap());
        assert_eq!(headings.collect::<Vec<_>>(), HEADINGS, "{name}");
        for part in parts {
            assert!(part.lines().count() > 2, "{name}: {part}");
        }
    }
}

#[test]
fn the_runbooks_name_alerts_keys_and_flags_that_exist() {
    let alerts: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    let documented = documents()
        .into_iter()
        .map(|(_, text)| text)
        .collect::<String>();
    for (name, page) in runbooks() {
        let words = page.split(|each: char| !each.is_ascii_alphanumeric());
        for alert in words.filter(|word| word.starts_with("TencentCloudCWP")) {
            assert!(alerts.contains(alert), "{name}: {alert}");
        }
        // Keys and flags.
        for word in page.split('`').skip(1).step_by(2) {
            let key = word.starts_with("poll.") || word.starts_with("api.");
            if key || word.starts_with("--") {
                assert!(documented.contains(word), "{name}: {word}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn prometheus_understands_the_queries_of_the_runbooks() {
    let pages = runbooks();
    let queries = pages.iter().flat_map(|(_, page)| blocks(page, "promql"));
    let rules: Vec<_> = queries
        .enumerate()
        .map(|(number, query)| json!({"record": format!("query:{number}"), "expr": query}))
        .collect();
    assert!(rules.len() > 20, "{}", rules.len());
    let file = tempfile::NamedTempFile::new().unwrap();
    let groups = json!({"groups": [{"name": "runbooks", "rules": rules}]});
    std::fs::write(file.path(), groups.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let (ok, words) = promtool(&["check", "rules", path], "").await;
    assert!(ok, "{words}");
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn the_commands_of_the_runbooks_can_be_run() {
    let documented = documents()
        .into_iter()
        .map(|(_, text)| text)
        .collect::<String>();
    for (name, page) in runbooks() {
        let mut silences = 0;
        for command in blocks(&page, "sh") {
            let words: Vec<&str> = command.split_whitespace().collect();
            match words.as_slice() {
                ["cwp-exporter", arguments @ ..] => {
                    let arguments = ["cwp-exporter"].iter().chain(arguments);
                    let read = Cli::read(arguments);
                    assert!(read.is_ok(), "{name}: {command}");
                }
                ["amtool", "silence", "add", matchers @ ..] => {
                    assert!(
                        matchers.contains(&format!("alertname={name}").as_str()),
                        "{name}"
                    );
                    // It finds no Alertmanager there, and nothing else wrong.
                    let nowhere = "--alertmanager.url=http://127.0.0.1:1";
                    let arguments: Vec<&str> =
                        words[1..].iter().copied().chain([nowhere]).collect();
                    let (_, words) = tool("amtool", &arguments, "").await;
                    assert!(words.contains("connection refused"), "{command}: {words}");
                    silences += 1;
                }
                ["curl", url] => {
                    let path = url.strip_prefix("http://localhost:10064").unwrap();
                    assert!(
                        documented.contains(&format!("| `{path}` |")),
                        "{name}: {path}"
                    );
                }
                ["timedatectl", "set-ntp", "true"] => {}
                _ => panic!("{name}: what is `{command}`?"),
            }
        }
        assert_eq!(silences, 1, "{name}");
    }
}
