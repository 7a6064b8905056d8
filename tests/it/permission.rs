//! Keys that may not call the action of a further collector, as after an upgrade with the
//! policy of the former version.

use cwp_exporter::simulator::Answer;
use serde_json::Value;

use crate::doctor::Diagnosis;
use crate::harness::{Cloud, Exporter, Scrape, run};

const ARN: &str = "qcs::cam::uin/100000000001:roleName/CwpExporter";

/// Two accounts with the key of `old`, and one with the role of `prod`; both may only read
/// the counts of licences. `granted` may read everything.
async fn cloud() -> Cloud {
    Cloud::start(&format!(
        "accounts:
  - {{name: old, secret_id: AKIDold, secret_key: key, allow: ['cwp:DescribeLicenseGeneral']}}
  - {{name: granted, secret_id: AKIDgranted, secret_key: key, orders: [{{ResourceId: one, Deadline: in 6d}}]}}
  - {{name: ops, secret_id: AKIDops, secret_key: key}}
  - {{name: prod, allow: ['cwp:DescribeLicenseGeneral'], role: {{arn: '{ARN}'}}}}
"
    ))
    .await
}

const ACCOUNTS: [&str; 4] = ["own", "shared", "role", "granted"];

fn configured(cloud: &Cloud) -> String {
    let key = |id| format!("{{type: static, secret_id: {id}, secret_key_env: KEY}}");
    let (old, granted, ops) = (key("AKIDold"), key("AKIDgranted"), key("AKIDops"));
    let url = &cloud.url;
    format!(
        "collectors: {{license_list: {{interval: 1s, max_age: 5m}}}}
poll: {{interval: 2s, timeout: 10s}}
api: {{endpoint: '{url}', sts_endpoint: '{url}'}}
accounts:
  - {{name: own, credentials: {old}}}
  - {{name: shared, credentials: {old}}}
  - {{name: role, credentials: {{type: assume_role, role_arn: '{ARN}', source: {ops}}}}}
  - {{name: granted, credentials: {granted}}}
"
    )
}

fn list_fails(scrape: &Scrape, account: &str) -> bool {
    let labels = format!("account=\"{account}\",collector=\"license_list\",reason=\"permission\"");
    let series = format!("cwp_exporter_collector_failure_reason{{{labels}}}");
    scrape.value(&series) == Some(1.0)
}

fn list_succeeds(scrape: &Scrape, account: &str) -> bool {
    let labels = format!("account=\"{account}\",collector=\"license_list\"");
    let series = format!("cwp_exporter_collector_success{{{labels}}}");
    scrape.value(&series) == Some(1.0)
}

fn refused() -> Answer {
    Answer::Error {
        code: "UnauthorizedOperation".to_owned(),
        message: "no".to_owned(),
    }
}

#[tokio::test]
async fn a_missing_permission_costs_one_collector_until_it_is_granted() {
    let cloud = cloud().await;
    let play = |answer| {
        let played = cloud
            .handle
            .play_action("granted", "DescribeLicenseList", answer);
        played.unwrap();
    };
    play(refused());
    let variables = vec![("KEY".to_owned(), "key".to_owned())];
    let exporter = Exporter::start(&configured(&cloud), variables).await;
    let scrape = exporter
        .until("all failures", |scrape| {
            let all = |each: &dyn Fn(&str) -> bool| ACCOUNTS.iter().all(|account| each(account));
            all(&|account| list_fails(scrape, account))
                && all(&|account| scrape.succeeded(account).is_some())
        })
        .await;
    for account in ACCOUNTS {
        let up = format!("tencentcloud_cwp_up{{account=\"{account}\"}}");
        assert_eq!(scrape.value(&up), Some(1.0), "{account}");
        assert_eq!(scrape.licence_series(account).len(), 25, "{account}");
    }
    let status = exporter.get("/api/v1/status").await.text().await.unwrap();
    let status: Value = serde_json::from_str(&status).unwrap();
    for account in status["data"]["accounts"].as_array().unwrap() {
        let remedy = account["collectors"][1]["failure"]["remedy"].as_str();
        let remedy = remedy.unwrap();
        assert!(remedy.contains("`cwp-exporter doctor` prints this policy"));
        let off = "switch the collector off by `collectors: {license_list: {enabled: false}}`";
        assert!(remedy.ends_with(off), "{remedy}");
    }

    cloud.handle.resume("granted").unwrap();
    let granted = exporter
        .until("the permission", |scrape| list_succeeds(scrape, "granted"))
        .await;
    let deadline =
        "tencentcloud_cwp_order_deadline_timestamp_seconds{account=\"granted\",order=\"one\"}";
    assert!(granted.value(deadline).is_some());
    assert!(!list_fails(&granted, "granted"));
    assert!(list_fails(&granted, "own"));
}

#[tokio::test]
async fn once_and_doctor_name_the_missing_permission_and_the_policy_and_succeed() {
    let cloud = cloud().await;
    let config = configured(&cloud);
    let variables = [("KEY", "key")];
    let found = Diagnosis::of(&config, &variables).await;
    assert_eq!(found.json["ok"], true, "{}", found.text);
    let lines = |words: &str| found.text.matches(words).count();
    assert_eq!(lines(": ok ("), 4, "{}", found.text);
    let line = "  permission    warning  AuthFailure.UnauthorizedOperation: ";
    assert_eq!(lines(line), 3, "{}", found.text);
    assert_eq!(lines(" (license_list, RequestId "), 3, "{}", found.text);
    let off = "; or switch the collector off by `collectors: {license_list: {enabled: false}}`.";
    assert_eq!(lines(off), 3, "{}", found.text);
    assert_eq!(lines("\"cwp:DescribeLicenseList\""), 1, "{}", found.text);
    assert!(
        found.json["policy"]
            .to_string()
            .contains("DescribeLicenseList")
    );

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let file = format!("--config.file={}", file.path().display());
    let once = run(&[&file, "once"], &variables).await;
    assert_eq!(once.status.code(), Some(0));
    let scrape = Scrape::parse(std::str::from_utf8(&once.stdout).unwrap());
    for account in ACCOUNTS {
        assert_eq!(scrape.succeeded(account), Some(true), "{account}");
        assert_eq!(list_fails(&scrape, account), account != "granted");
    }
    let log = String::from_utf8(once.stderr).unwrap();
    assert_eq!(log.matches("collector=license_list").count(), 3, "{log}");
}
