//! The formats as others read them: Prometheus' own Python client, whose OpenMetrics
//! parser is strict, two parsers in Rust, and Prometheus itself with each of its
//! scrape protocols.

use std::collections::BTreeMap;
use std::process::Stdio;

use openmetrics_parser::openmetrics::parse_openmetrics;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{OPENMETRICS, TEXT, ask};
use crate::harness::{Cloud, Exporter, within};
use crate::prometheus::{Prometheus, each_version};

/// Everything that has to be escaped, and some that has not.
const ACCOUNT: &str = "prod \"eu\"\\n\\主机";
const TEAM: &str = "a \"b\" \\c, {d}=1 安全 é";
const WORD: &str = "旗\"\\\n";

/// An exporter with one account, once it was collected.
async fn odd_exporter() -> (Cloud, Exporter) {
    let word = json!(WORD);
    let cloud = Cloud::start(&format!(
        "accounts: [{{name: odd, secret_id: AKIDodd, secret_key: key, fields: {{LicenseCnt: 7, ProtectType: {word}}}}}]"
    ))
    .await;
    let config = json!({
        "api": {"endpoint": cloud.url},
        "accounts": [{
            "name": ACCOUNT,
            "labels": {"team": TEAM},
            "credentials": {"type": "static", "secret_id": "AKIDodd", "secret_key_env": "KEY"},
        }],
    });
    let variables = vec![("KEY".to_owned(), "key".to_owned())];
    let exporter = Exporter::start(&config.to_string(), variables).await;
    exporter.ready().await;
    (cloud, exporter)
}

/// A series, its labels and its value, as a parser found them.
type Parsed = (String, BTreeMap<String, String>, f64);

/// The series of which the labels are odd.
fn assert_odd_labels(samples: &[Parsed]) {
    let labels = |name: &str| {
        let mut found = samples.iter().filter(|(found, ..)| found == name);
        let (_, labels, _) = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name}");
        labels
    };
    let word = labels("tencentcloud_cwp_protect_type");
    assert_eq!(
        (word["account"].as_str(), word["type"].as_str()),
        (ACCOUNT, WORD)
    );
    let info = labels("tencentcloud_cwp_account_info");
    assert_eq!(
        (info["account"].as_str(), info["label_team"].as_str()),
        (ACCOUNT, TEAM)
    );
}

/// Prints what the parser of the named format makes of standard input.
const PYTHON: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text
parse = {'openmetrics': openmetrics, 'text': text}[sys.argv[1]]
families = parse(sys.stdin.read())
print(json.dumps([[s.name, s.labels, s.value] for family in families for s in family.samples]))
";

/// A Python that has the client, if `tests/run` could get it.
pub(crate) fn client_python() -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "what `tests/run` says is for the tests"
    )]
    std::env::var("CLIENT_PYTHON").ok()
}

async fn python_reads(python: &str, format: &str, text: &str) -> Vec<Parsed> {
    let mut child = Command::new(python)
        .args(["-c", PYTHON, format])
        .env("PYTHONUTF8", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = within("Python to end", async {
        stdin.write_all(text.as_bytes()).await.unwrap();
        drop(stdin);
        child.wait_with_output().await.unwrap()
    })
    .await;
    assert!(output.status.success(), "it refused this:\n{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn the_python_client_reads_the_same_from_both_formats() {
    let Some(python) = client_python() else {
        // tests/run says so, and fails in CI.
        return;
    };
    let (_cloud, exporter) = odd_exporter().await;
    let mut seen = Vec::new();
    for (format, accept, content_type) in [
        ("text", "text/plain", TEXT),
        ("openmetrics", "application/openmetrics-text", OPENMETRICS),
    ] {
        for path in [
            "/metrics",
            "/probe?target=prod%20%22eu%22%5Cn%5C%E4%B8%BB%E6%9C%BA",
        ] {
            let answer = ask(&exporter, path, accept, "gzip").await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.headers[http::header::CONTENT_TYPE], content_type);
            let mut samples = python_reads(&python, format, &answer.text).await;
            assert_odd_labels(&samples);
            samples.retain(|(name, ..)| !name.starts_with("process_"));
            for (_, labels, _) in &mut samples {
                // The same number, written as each format does.
                if let Some(bound) = labels.get_mut("le") {
                    *bound = bound.parse::<f64>().unwrap().to_string();
                }
            }
            seen.push(samples);
        }
    }
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[1], seen[3]);
}

#[tokio::test]
async fn parsers_in_rust_read_both_formats() {
    let (_cloud, exporter) = odd_exporter().await;
    let answer = ask(
        &exporter,
        "/metrics",
        "application/openmetrics-text",
        "gzip",
    )
    .await;
    // This parser refuses units of histograms, which the specification allows.
    let unit = "# UNIT cwp_exporter_api_request_duration_seconds seconds\n";
    assert_eq!(answer.text.matches(unit).count(), 1);
    let families = parse_openmetrics(&answer.text.replace(unit, ""))
        .unwrap_or_else(|error| panic!("{error:?}:\n{}", answer.text))
        .families;
    let heads = answer
        .text
        .lines()
        .filter(|line| line.starts_with("# TYPE "));
    assert_eq!(families.len(), heads.count());
    assert!(
        families.contains_key("cwp_exporter_api_requests"),
        "without _total"
    );

    let answer = ask(&exporter, "/metrics", "text/plain", "identity").await;
    let lines = answer.text.lines().map(|line| Ok(line.to_owned()));
    let scrape = prometheus_parse::Scrape::parse(lines).unwrap();
    // It leaves labels escaped, so whether they survive is for the others to tell.
    let word = scrape
        .samples
        .iter()
        .filter_map(|sample| sample.labels.get("type"));
    assert_eq!(word.collect::<Vec<_>>(), ["旗\\\"\\\\\\n"]);
    let described = answer
        .text
        .lines()
        .filter(|line| line.starts_with("# HELP "));
    assert_eq!(scrape.docs.len(), described.count());
}

#[tokio::test]
async fn prometheus_reads_the_same_by_each_of_its_protocols() {
    // Older ones do not let the user choose.
    let programs = each_version("prometheus");
    let Some(newest) = programs.get(1) else {
        return;
    };
    let (_cloud, exporter) = odd_exporter().await;
    let target = exporter.url.strip_prefix("http://").unwrap();
    let mut jobs = Vec::new();
    for protocol in [
        "OpenMetricsText1.0.0",
        "OpenMetricsText0.0.1",
        "PrometheusText1.0.0",
        "PrometheusText0.0.4",
        "PrometheusProto",
    ] {
        for compression in [true, false] {
            for escaping in ["allow-utf-8", "underscores"] {
                jobs.push(json!({
                    "job_name": format!("{protocol} {compression} {escaping}"),
                    "scrape_protocols": [protocol],
                    "enable_compression": compression,
                    "metric_name_escaping_scheme": escaping,
                    "metric_name_validation_scheme": if escaping == "underscores" { "legacy" } else { "utf8" },
                    "scrape_interval": "1s",
                    "scrape_timeout": "1s",
                    "static_configs": [{"targets": [target]}],
                }));
            }
        }
    }
    let count = jobs.len();
    let prometheus = Prometheus::start(newest, &json!({"scrape_configs": jobs})).await;
    let all = |query: String| format!("count(count by (job) ({query}))");
    let matching = |name: &str, label: &str, value: &str| {
        format!(
            "{name}{{account={}, {label}={}}} == 1",
            json!(ACCOUNT),
            json!(value)
        )
    };
    #[expect(clippy::cast_precision_loss, reason = "a few jobs")]
    let each = [count as f64];
    prometheus.until(&all("up == 1".to_owned()), &each).await;
    for query in [
        matching("tencentcloud_cwp_protect_type", "type", WORD),
        matching("tencentcloud_cwp_account_info", "label_team", TEAM),
        "cwp_exporter_api_request_duration_seconds_bucket{le='1.0'}".to_owned(),
        "cwp_exporter_api_requests_total >= 1".to_owned(),
    ] {
        prometheus.until(&all(query), &each).await;
    }
    // Whatever the protocol, the series are as many.
    let series = "count by (job) ({__name__=~'(tencentcloud_cwp|cwp_exporter|process)_.+'})";
    let spread = format!("max({series}) - min({series})");
    prometheus.until(&spread, &[0.0]).await;
    for target in prometheus.targets().await {
        assert_eq!(
            (&target["health"], &target["lastError"]),
            (&json!("up"), &json!("")),
            "{target}"
        );
    }
    assert_eq!(prometheus.complaints().await, Vec::<String>::new());
}
