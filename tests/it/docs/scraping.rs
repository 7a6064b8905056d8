//! A real Prometheus does what the README's scrape configurations are for.

use cwp_exporter::simulator::Answer;
use serde_json::{Value, json};

use super::readme;
use crate::harness::{Cloud, Exporter, config_for, repository_file};
use crate::prometheus::Prometheus;

/// Every configuration with which Prometheus scrapes the exporter, of the documentation and
/// among the files to deploy, for an exporter at this address.
pub(crate) fn scrape_configurations(address: &str) -> Vec<Value> {
    let readme = readme();
    let shipped = repository_file("deploy/prometheus/prometheus.yml");
    let texts = readme.snippets("yaml prometheus").into_iter();
    let texts = texts.chain([shipped.as_str()]);
    let configurations = texts.map(|text| {
        let text = text.replace("127.0.0.1:10064", address);
        let configuration: Value = serde_saphyr::from_str(&text).unwrap();
        json!({"scrape_configs": configuration["scrape_configs"]})
    });
    configurations.collect()
}

/// An account's name that has to be encoded in a URL.
const ODD: &str = "a 0&主/";

/// An exporter of two accounts, the second of which fails.
async fn exporter() -> (Cloud, Exporter) {
    let cloud = Cloud::with_accounts(2).await;
    cloud.handle.play("a1", Answer::Reset).unwrap();
    let (config, variables) = config_for(&cloud, 2);
    let config = config.replace("name: a0,", &format!("name: '{ODD}', labels: {{team: x}},"));
    let exporter = Exporter::start(&config, variables).await;
    exporter.ready().await;
    (cloud, exporter)
}

/// A Prometheus with the README's configuration that has these jobs, in this order.
async fn prometheus(jobs: &[&str], exporter: &Exporter) -> Prometheus {
    let readme = readme();
    let jobs_of = |yaml: &str| -> Vec<String> {
        let lines = yaml
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- job_name: "));
        lines.map(str::to_owned).collect()
    };
    let mut snippets = readme.snippets("yaml prometheus").into_iter();
    let snippet = snippets.find(|yaml| jobs_of(yaml) == jobs);
    let address = exporter.url.strip_prefix("http://").unwrap();
    let snippet = snippet.unwrap().replace("127.0.0.1:10064", address);
    let often = "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n";
    Prometheus::configured("prometheus", &format!("{often}{snippet}")).await
}

/// The licences of the account that works, and the health of both, in that job.
async fn sees_accounts(prometheus: &Prometheus, job: &str, instances: [&str; 2]) {
    let [odd, failing] = instances;
    for (query, value) in [
        (
            format!(
                "count(tencentcloud_cwp_licenses{{job='{job}',instance='{odd}',account='{ODD}'}})"
            ),
            1.0,
        ),
        (
            format!("tencentcloud_cwp_up{{job='{job}',instance='{odd}',account='{ODD}'}}"),
            1.0,
        ),
        (
            format!("tencentcloud_cwp_up{{job='{job}',instance='{failing}',account='a1'}}"),
            0.0,
        ),
        (
            format!("tencentcloud_cwp_account_info{{job='{job}',label_team='x'}}"),
            1.0,
        ),
    ] {
        prometheus.until(&query, &[value]).await;
    }
    // Nothing had to give way to a label of the target's.
    let moved = "count({exported_account!=''} or {exported_instance!=''} or {exported_job!=''})";
    prometheus.until(moved, &[]).await;
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn one_job_sees_the_exporter_and_all_accounts() {
    let (_cloud, exporter) = exporter().await;
    let prometheus = prometheus(&["cwp"], &exporter).await;
    let instance = exporter.url.strip_prefix("http://").unwrap();
    prometheus.until("up{job='cwp'}", &[1.0]).await;
    prometheus
        .until("cwp_exporter_accounts{job='cwp'}", &[2.0])
        .await;
    sees_accounts(&prometheus, "cwp", [instance, instance]).await;
}

#[tokio::test]
#[ignore = "needs Prometheus"]
async fn a_job_of_accounts_and_one_of_the_exporter_see_everything_once() {
    let (_cloud, exporter) = exporter().await;
    let prometheus = prometheus(&["cwp-accounts", "cwp"], &exporter).await;
    prometheus
        .until("count(up{job='cwp-accounts'} == 1)", &[2.0])
        .await;
    sees_accounts(&prometheus, "cwp-accounts", [ODD, "a1"]).await;
    prometheus
        .until("cwp_exporter_accounts{job='cwp'}", &[2.0])
        .await;
    for family in [
        "tencentcloud_cwp_up",
        "cwp_exporter_collector_success",
        // When collectors collect is told with each account, for rules to compare ages with.
        "cwp_exporter_collector_interval_seconds",
        "cwp_exporter_collector_max_age_seconds",
    ] {
        let once = format!("count({family}{{job='cwp-accounts'}})");
        prometheus.until(&once, &[2.0]).await;
        prometheus.until(&format!("count({family})"), &[2.0]).await;
    }
    let twice = "count({account!='', job='cwp'})";
    prometheus.until(twice, &[]).await;
    let of_the_process =
        "count({__name__=~'cwp_exporter_.+', account='', collector='', job='cwp-accounts'})";
    prometheus.until(of_the_process, &[]).await;
}
