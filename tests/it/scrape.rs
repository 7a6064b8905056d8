//! What Prometheus sees.

use cwp_exporter::simulator::Answer;
use http::header;

use crate::harness::{Cloud, Exporter, Scrape, client, repository_file};

#[tokio::test]
async fn the_documents_example_gives_exactly_the_documented_values() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    let scrape = exporter.ready().await;

    let expected = repository_file("tests/fixtures/api/license_general/documented-example.txt");
    let expected = Scrape::parse(&expected.replace("ACCOUNT", "a0"));
    assert_eq!(expected.samples.len(), 25);
    let series: Vec<&str> = expected.samples.keys().map(String::as_str).collect();
    assert_eq!(scrape.licence_series("a0"), series);
    for series in series {
        assert_eq!(scrape.value(series), expected.value(series), "{series}");
    }
    assert_eq!(
        scrape.value("tencentcloud_cwp_up{account=\"a0\"}"),
        Some(1.0)
    );
}

#[tokio::test]
async fn the_content_type_is_exact_and_head_has_no_body() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    let response = exporter.get("/metrics").await;
    let content_type = &response.headers()[header::CONTENT_TYPE];
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert!(response.text().await.unwrap().ends_with('\n'));

    let url = format!("{}/metrics", exporter.url);
    let head = client().head(url).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.text().await.unwrap(), "");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let cloud = Cloud::with_accounts(1).await;
    let exporter = Exporter::of(&cloud, 1).await;
    assert_eq!(exporter.get("/metric").await.status(), 404);
    assert_eq!(exporter.get("/metrics/").await.status(), 404);
    let url = format!("{}/metrics", exporter.url);
    let post = client().post(url).send().await.unwrap();
    assert_eq!(post.status(), 405);
    assert_eq!(post.headers()[header::ALLOW], "GET, HEAD");
}

#[tokio::test]
async fn every_configured_account_is_there_from_the_start() {
    let cloud = Cloud::with_accounts(2).await;
    cloud.handle.play("a0", Answer::Hang).unwrap();
    cloud.handle.play("a1", Answer::Hang).unwrap();
    let exporter = Exporter::of(&cloud, 2).await;
    assert_eq!(exporter.get("/-/ready").await.status(), 503);
    assert_eq!(exporter.get("/-/healthy").await.status(), 200);
    let scrape = exporter.scrape().await;
    for account in ["a0", "a1"] {
        let up = format!("tencentcloud_cwp_up{{account=\"{account}\"}}");
        assert_eq!(scrape.value(&up), Some(0.0));
        assert_eq!(scrape.succeeded(account), None);
        assert!(scrape.licence_series(account).is_empty());
    }
    assert_eq!(scrape.value("cwp_exporter_accounts"), Some(2.0));
}

/// A configuration with which each account is collected once, however slow the machine is.
fn collected_once(cloud: &Cloud, accounts: usize) -> (String, Vec<(String, String)>) {
    let (config, variables) = crate::harness::config_for(cloud, accounts);
    let (often, once) = (
        "interval: 1s, timeout: 500ms, max_age: 2s",
        "interval: 1h, timeout: 30s, max_age: 10h",
    );
    assert!(config.contains(often), "{config}");
    (config.replace(often, once), variables)
}

#[tokio::test]
async fn scrapes_cause_no_api_call() {
    let cloud = Cloud::with_accounts(1).await;
    let (config, variables) = collected_once(&cloud, 1);
    // Any other call would be a scrape's.
    let exporter = Exporter::start(&config, variables).await;
    exporter.ready().await;
    for _ in 0..50 {
        exporter.scrape().await;
    }
    assert_eq!(cloud.handle.received().len(), 1);
}

#[tokio::test]
async fn the_order_of_the_exposition_never_changes() {
    let cloud = Cloud::with_accounts(20).await;
    let (config, variables) = collected_once(&cloud, 20);
    let exporter = Exporter::start(&config, variables.clone()).await;
    let another = Exporter::start(&config, variables).await;
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.rsplit_once(' ').unwrap().0);
        lines.map(str::to_owned).collect()
    };
    let first = exporter.ready().await;
    assert_eq!(names(&first.text), names(&exporter.scrape().await.text));
    assert_eq!(names(&first.text), names(&another.ready().await.text));
}

#[tokio::test]
async fn labels_survive_quotes_backslashes_and_other_alphabets() {
    let cloud = Cloud::start(
        r#"accounts: [{name: odd, secret_id: AKIDodd, secret_key: key-odd, fields: {LicenseCnt: 1, ProtectType: "旗\"\\\n"}}]"#,
    )
    .await;
    let config = format!(
        r#"
api: {{endpoint: '{}'}}
accounts:
  - name: 'prod "eu"\主机'
    region: ap-guangzhou
    labels: {{team: 'a "b" \c'}}
    credentials: {{type: static, secret_id: AKIDodd, secret_key_env: KEY}}
"#,
        cloud.url
    );
    let exporter = Exporter::start(&config, vec![("KEY".to_owned(), "key-odd".to_owned())]).await;
    let text = exporter.ready().await.text;
    let account = r#"account="prod \"eu\"\\主机""#;
    assert!(text.contains(&format!("tencentcloud_cwp_up{{{account}}} 1\n")));
    assert!(text.contains(&format!(
        "tencentcloud_cwp_protect_type{{{account},type=\"旗\\\"\\\\\\n\"}} 1\n"
    )));
    assert!(text.contains(&format!(
        r#"tencentcloud_cwp_account_info{{{account},endpoint="{}",region="ap-guangzhou",label_team="a \"b\" \\c"}} 1"#,
        cloud.url
    )));
}
