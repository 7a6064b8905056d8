//! Prometheus finding the accounts by itself, and shards.

use serde_json::{Value, json};

use crate::harness::{Cloud, Exporter, Scrape, config_for, run};

#[tokio::test]
async fn the_service_discovery_lists_the_accounts_with_their_labels() {
    let cloud = Cloud::with_accounts(2).await;
    let (config, variables) = config_for(&cloud, 2);
    let config = config.replace(
        "name: a1,",
        "name: a1, region: ap-x, labels: {team: 'a \"b\"'},",
    );
    let exporter = Exporter::start(&config, variables).await;
    let answer = exporter.get("/sd").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let list: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let expected = json!([
        {"targets": ["a0"], "labels": {
            "__meta_tencentcloud_cwp_account": "a0",
            "__meta_tencentcloud_cwp_endpoint": cloud.url,
        }},
        {"targets": ["a1"], "labels": {
            "__meta_tencentcloud_cwp_account": "a1",
            "__meta_tencentcloud_cwp_endpoint": cloud.url,
            "__meta_tencentcloud_cwp_region": "ap-x",
            "__meta_tencentcloud_cwp_label_team": "a \"b\"",
        }},
    ]);
    assert_eq!(list, expected);
}

#[tokio::test]
async fn a_probe_shows_all_that_is_known_of_one_account_and_nothing_else() {
    let cloud = Cloud::with_accounts(2).await;
    let (config, variables) = config_for(&cloud, 2);
    let config = config.replace("name: a1,", "name: 'a 1&主',");
    let exporter = Exporter::start(&config, variables).await;
    exporter.ready().await;
    let probe = exporter.get("/probe?target=a+1%26%E4%B8%BB").await;
    assert_eq!(probe.status(), 200);
    assert_eq!(
        probe.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let scrape = Scrape::parse(&probe.text().await.unwrap());
    assert_eq!(scrape.licence_series("a 1&主").len(), 25);
    // What the whole scrape says of the account and of when it is collected, and no more.
    let all = exporter.scrape().await;
    let of_account = |series: &&String| {
        series.contains("account=\"a 1&主\"")
            || series.starts_with("cwp_exporter_collector_interval_seconds{")
            || series.starts_with("cwp_exporter_collector_max_age_seconds{")
    };
    let expected: Vec<&String> = all.samples.keys().filter(of_account).collect();
    assert_eq!(scrape.samples.keys().collect::<Vec<_>>(), expected);
    assert_eq!(scrape.succeeded("a 1&主"), Some(true));

    for path in [
        "/probe",
        "/probe?target=",
        "/probe?target=other",
        "/probe?x=a0",
    ] {
        assert_eq!(exporter.get(path).await.status(), 400, "{path}");
    }
}

#[tokio::test]
async fn shards_divide_the_accounts_and_say_which_they_are() {
    let cloud = Cloud::with_accounts(12).await;
    let (config, variables) = config_for(&cloud, 12);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut collected = 0;
    for shard in 0..3 {
        let index = format!("--shard.index={shard}");
        let pod = format!("cwp-exporter-{shard}");
        let automatic = [&variables[..], &[("POD_NAME", pod.as_str())]].concat();
        let file = [
            "--config.file",
            file.path().to_str().unwrap(),
            "--shard.total=3",
        ];
        let explicit = run(&[&file[..], &[&index, "once"]].concat(), &variables).await;
        let automatic = run(
            &[&file[..], &["--shard.index=auto", "once"]].concat(),
            &automatic,
        )
        .await;
        let accounts = |output: &[u8]| {
            let scrape = Scrape::parse(std::str::from_utf8(output).unwrap());
            assert_eq!(
                scrape.value("cwp_exporter_shard_index"),
                Some(f64::from(shard))
            );
            assert_eq!(scrape.value("cwp_exporter_shard_total"), Some(3.0));
            let series = scrape.samples.keys();
            let ups = series.filter(|series| series.starts_with("tencentcloud_cwp_up{"));
            ups.cloned().collect::<Vec<_>>()
        };
        assert_eq!(accounts(&explicit.stdout), accounts(&automatic.stdout));
        collected += accounts(&explicit.stdout).len();
    }
    assert_eq!(collected, 12);
}

#[tokio::test]
async fn a_shard_that_does_not_exist_is_wrong_usage() {
    for (arguments, part) in [
        (vec!["--shard.index=0"], "--shard.total"),
        (vec!["--shard.total=3"], "--shard.index"),
        (
            vec!["--shard.index=3", "--shard.total=3"],
            "no shard 3 of 3",
        ),
        (
            vec!["--shard.index=x", "--shard.total=3"],
            "whole number from 0",
        ),
        (vec!["--shard.index=0", "--shard.total=0"], "--shard.total"),
        (vec!["--replica.count=0"], "--replica.count"),
    ] {
        let output = run(&arguments, &[]).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
}
